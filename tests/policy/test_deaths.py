"""Who is to blame for a death, and what becomes of the rest."""

from __future__ import annotations

from phalanx._policy import (
    FinishJob,
    JobCancelled,
    JobOpened,
    JobSpec,
    KillWorker,
    LoseItem,
    Progressed,
    Scheduler,
    SendBatch,
    StartWorker,
    TakeBack,
    TookBack,
    Undecodable,
    Why,
    WorkerExited,
    WorkerReady,
)
from tests.policy.pools import only, ready_pool, sent


def pool_with_a_chunk(items: int = 4, **spec: int) -> Scheduler:
    """One worker that holds all items of job 0 as one batch."""
    scheduler = ready_pool(1)
    commands = scheduler.handle(JobOpened(JobSpec(0, items, True, chunksize=items, **spec)), 0.0)
    assert sent(commands) == [(0, 0, items)]
    return scheduler


def test_the_item_begun_last_is_guilty_and_the_others_go_again() -> None:
    scheduler = pool_with_a_chunk()
    scheduler.handle(Progressed(0, 0, 1, 0.1, False), 0.1)
    assert scheduler.handle(WorkerExited(0, 2), 0.2) == [LoseItem(0, 2, 0), StartWorker(1, 0)]
    # Item 1 was finished and its result lost with the worker; item 3 had not begun.
    assert sent(scheduler.handle(WorkerReady(1), 0.3)) == [(1, 1, 2), (1, 3, 4)]
    scheduler.handle(Progressed(1, 1, 1, 0.1, True), 0.4)
    assert scheduler.handle(Progressed(1, 2, 1, 0.1, True), 0.4) == [FinishJob(0)]


def test_a_death_is_told_twice_and_blamed_once() -> None:
    scheduler = pool_with_a_chunk()
    assert only(scheduler.handle(WorkerExited(0, 0), 0.2), LoseItem) == [LoseItem(0, 0, 0)]
    assert scheduler.handle(WorkerExited(0, 0), 0.2) == []


def test_a_death_after_everything_arrived_harms_nobody() -> None:
    scheduler = pool_with_a_chunk()
    assert scheduler.handle(Progressed(0, 0, 4, 0.1, True), 0.1) == [FinishJob(0)]
    assert scheduler.handle(WorkerExited(0, 3), 0.2) == [StartWorker(1, 0)]


def test_a_death_between_items_blames_nobody_and_the_batch_goes_one_at_a_time() -> None:
    scheduler = pool_with_a_chunk(3)
    assert scheduler.handle(WorkerExited(0, None), 0.2) == [StartWorker(1, 0)]
    # One at a time although two batches may be in flight: an alone item has its worker for itself.
    assert sent(scheduler.handle(WorkerReady(1), 0.3)) == [(1, 0, 1)]
    assert not scheduler.hungry
    assert sent(scheduler.handle(Progressed(1, 1, 1, 0.1, True), 0.4)) == [(1, 1, 2)]


def test_the_item_that_kills_alone_is_guilty_though_it_never_began() -> None:
    scheduler = pool_with_a_chunk(3)
    scheduler.handle(WorkerExited(0, None), 0.2)
    scheduler.handle(WorkerReady(1), 0.3)
    assert scheduler.handle(WorkerExited(1, None), 0.4) == [LoseItem(0, 0, 1), StartWorker(2, 0)]


def test_what_is_behind_the_batch_that_was_decoded_is_not_suspected() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 4, True, chunksize=2)), 0.0)
    scheduler.handle(WorkerExited(0, None), 0.2)
    (worker,) = scheduler.facts().workers
    (job,) = scheduler.facts().jobs
    assert worker.held == []
    assert job.alone == [0, 1]
    assert job.missing == [(0, 4)]


def test_alone_items_get_the_first_idle_worker_and_nobody_gets_a_second_batch_meanwhile() -> None:
    scheduler = ready_pool(2)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2)), 0.0)  # for worker 1
    scheduler.handle(JobOpened(JobSpec(1, 9, False, chunksize=1)), 0.0)
    scheduler.handle(WorkerExited(1, None), 0.1)
    assert scheduler.handle(Progressed(0, 1, 1, 0.1, True), 0.2) == []
    commands = scheduler.handle(Progressed(0, 2, 1, 0.1, True), 0.3)
    assert [(c.worker, c.batch.job, c.batch.start) for c in only(commands, SendBatch)] == [(0, 0, 0)]


def test_a_crash_is_tried_again_alone_as_often_as_it_may() -> None:
    scheduler = pool_with_a_chunk(2, crash_retries=1)
    assert only(scheduler.handle(WorkerExited(0, 0), 0.1), LoseItem) == []
    assert sent(scheduler.handle(WorkerReady(1), 0.2)) == [(1, 0, 1)]
    assert only(scheduler.handle(WorkerExited(1, 0), 0.3), LoseItem) == [LoseItem(0, 0, 1, tries=2)]


def test_a_worker_that_we_killed_proves_nothing() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True)), 0.0)
    scheduler.handle(JobOpened(JobSpec(1, 1, True)), 0.0)
    assert scheduler.handle(JobCancelled(0, True), 0.1) == [TakeBack(0, 0)]
    assert KillWorker(0, Why.CANCELLED) in scheduler.handle(TookBack(0, 1), 0.1)
    # By then it had begun the other job's item. Not its fault.
    assert only(scheduler.handle(WorkerExited(0, 1), 0.2), LoseItem) == []
    assert sent(scheduler.handle(WorkerReady(1), 0.3)) == [(1, 0, 1)]


def test_a_batch_that_cannot_be_decoded_goes_one_item_at_a_time() -> None:
    scheduler = pool_with_a_chunk(3)
    commands = scheduler.handle(Undecodable(0, 0), 0.1)
    commands += scheduler.handle(Undecodable(0, 0), 0.1)
    assert sent(commands) == [(0, 0, 1), (0, 1, 2)]
