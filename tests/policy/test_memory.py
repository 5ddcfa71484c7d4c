"""Memory: workers that have grown too large, items that take too much, and machines that have none left."""

from __future__ import annotations

from phalanx._policy import (
    FinishJob,
    JobOpened,
    JobSpec,
    KillWorker,
    LimitItem,
    Look,
    Progressed,
    Scheduler,
    SendBatch,
    StartWorker,
    StopWorker,
    TakeBack,
    Tick,
    TookBack,
    WarnOfMemory,
    Why,
    WorkerExited,
    WorkerReady,
    WorkerSeen,
)
from phalanx._policy.deadlines import WEIGH_EVERY
from tests.policy.pools import only, ready_pool, sent


def weighed_pool(size: int = 1) -> Scheduler:
    return ready_pool(size, max_memory=1000, memory_limit=2000, memory_floor=500)


def test_workers_are_weighed_while_they_work_and_only_then() -> None:
    scheduler = weighed_pool()
    assert scheduler.next_deadline() is None
    scheduler.handle(JobOpened(JobSpec(0, 1, True)), 0.0)
    assert scheduler.next_deadline() == WEIGH_EVERY
    assert scheduler.handle(Tick(), WEIGH_EVERY) == [Look(0)]
    assert scheduler.handle(WorkerSeen(0, 0, 0.0, 900, 9000), WEIGH_EVERY) == []
    assert scheduler.next_deadline() == 2 * WEIGH_EVERY
    scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.15)
    # Once more, for what the last item left.
    assert scheduler.handle(Tick(), 2 * WEIGH_EVERY) == [Look(0)]
    assert scheduler.next_deadline() is None


def test_a_worker_that_has_grown_is_replaced_between_items() -> None:
    scheduler = weighed_pool()
    scheduler.handle(JobOpened(JobSpec(0, 3, True, chunksize=3)), 0.0)
    # Its successor starts at once and waits for it to end.
    assert scheduler.handle(WorkerSeen(0, 1, 0.0, 1001, 9000), 0.1) == [StartWorker(1, 0), TakeBack(0, 2)]
    assert scheduler.handle(TookBack(0, 2), 0.1) == []
    assert scheduler.handle(WorkerReady(1), 0.2) == []
    commands = scheduler.handle(Progressed(0, 0, 2, 0.1, True), 0.3)
    assert commands[0] == StopWorker(0)
    assert sent(commands) == [(1, 2, 3)]


def test_an_idle_worker_that_has_grown_is_replaced() -> None:
    scheduler = weighed_pool()
    assert scheduler.handle(WorkerSeen(0, None, None, 1001, 9000), 0.1) == [StopWorker(0), StartWorker(1, 0)]


def test_an_item_past_the_hard_limit_is_stopped_with_its_worker() -> None:
    scheduler = weighed_pool()
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2, crash_retries=3)), 0.0)
    commands = scheduler.handle(WorkerSeen(0, 0, 0.0, 2001, 9000), 0.1)
    assert commands[:2] == [KillWorker(0, Why.OVER_LIMIT), LimitItem(0, 0, 0, 2001)]
    scheduler.handle(WorkerExited(0, 0), 0.2)
    assert sent(scheduler.handle(WorkerReady(1), 0.3)) == [(1, 1, 2)]
    assert scheduler.handle(Progressed(1, 1, 1, 0.1, True), 0.4) == [FinishJob(0)]


def test_while_memory_is_short_items_run_one_at_a_time() -> None:
    scheduler = weighed_pool(2)
    commands = scheduler.handle(JobOpened(JobSpec(0, 9, True, chunksize=2)), 0.0)
    first = {command.worker: command.batch.id for command in reversed(only(commands, SendBatch))}
    second = {command.worker: command.batch.id for command in only(commands, SendBatch)}
    commands = scheduler.handle(WorkerSeen(1, 0, 0.0, 900, 499), 0.1)
    assert commands == [WarnOfMemory(499), TakeBack(0, 0), TakeBack(1, 0)]
    for worker in (0, 1):
        assert scheduler.handle(TookBack(worker, 1), 0.1) == []
    # Nobody gets anything as long as the other runs an item.
    assert sent(scheduler.handle(Progressed(1, first[1], 1, 0.1, True), 0.2)) == []
    assert sent(scheduler.handle(Progressed(1, second[1], 0, 0.0, True), 0.2)) == []
    commands = scheduler.handle(Progressed(0, first[0], 1, 0.1, True), 0.2)
    [(worker, start, stop)] = sent(commands)
    assert stop - start == 1
    assert scheduler.handle(WorkerSeen(worker, 4, 0.2, 900, 400), 0.3) == []  # it is said once
    assert len(sent(scheduler.handle(WorkerSeen(worker, 4, 0.2, 900, 600), 0.4))) == 1
