"""How many workers there are, when they are replaced, and when starting them is given up."""

from __future__ import annotations

import pytest

from phalanx._policy import (
    CloseAsked,
    Config,
    DropItems,
    FailJob,
    FinishJob,
    JobCancelled,
    JobConsumed,
    JobGrew,
    JobOpened,
    JobSpec,
    KillWorker,
    Mode,
    PolicyError,
    Progressed,
    Resized,
    Scheduler,
    StartWorker,
    StopWorker,
    TakeBack,
    Tick,
    TookBack,
    Why,
    WorkerExited,
    WorkerReady,
    WorkerSeen,
    WorkerStartFailed,
    WorkerState,
)
from phalanx._policy.workers import WORKER_MOVES, Worker, WorkerMove
from tests.policy.pools import only, ready_pool, sent


def test_a_pool_starts_its_workers_with_the_first_event() -> None:
    assert Scheduler(Config(3)).handle(Tick(), 0.0) == [
        StartWorker(0, 0),
        StartWorker(1, 1),
        StartWorker(2, 2),
    ]


def test_a_dying_worker_has_a_successor_also_when_the_books_are_made_anew() -> None:
    scheduler = ready_pool(1, memory_limit=2000, prefetch=1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=1)), 0.0)
    commands = scheduler.handle(WorkerSeen(0, 0, 0.0, 2001, None), 0.1)
    assert only(commands, StartWorker) == [StartWorker(1, 0)]
    facts = scheduler.facts()
    dying = [known for known in facts.workers if known.state is WorkerState.DYING]
    assert [known.worker for known in dying] == [0]
    # As if it had struck before the successor was started.
    _, commands = Scheduler.rebuild(facts.config, facts.jobs, dying, 0.2, next_batch=1, next_worker=1)
    assert only(commands, StartWorker) == [StartWorker(1, 0)]


def test_an_executor_starts_workers_only_while_work_exceeds_them() -> None:
    scheduler = Scheduler(Config(3, on_demand=True))
    assert scheduler.handle(Tick(), 0.0) == []
    scheduler.handle(JobOpened(JobSpec(0, 0, False)), 0.0)
    assert scheduler.handle(JobGrew(0, 1), 0.0) == [StartWorker(0, 0)]
    assert sent(scheduler.handle(WorkerReady(0), 0.0)) == [(0, 0, 1)]
    # The second would wait behind the first: that is work without a worker.
    commands = scheduler.handle(JobGrew(0, 2), 0.0)
    assert only(commands, StartWorker) == [StartWorker(1, 1)]
    scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.1)
    scheduler.handle(Progressed(0, 1, 1, 0.1, True), 0.1)
    assert only(scheduler.handle(JobGrew(0, 3), 0.2), StartWorker) == []


def test_a_dead_worker_is_replaced_in_its_slot() -> None:
    scheduler = ready_pool(3)
    assert scheduler.handle(WorkerExited(1, None), 0.1) == [StartWorker(3, 1)]


def test_a_worker_is_replaced_after_its_number_of_tasks_when_the_last_is_sent() -> None:
    scheduler = ready_pool(1, max_tasks_per_child=2)
    commands = scheduler.handle(JobOpened(JobSpec(0, 9, True, chunksize=1)), 0.0)
    assert sent(commands) == [(0, 0, 1), (0, 1, 2)]
    assert only(commands, StartWorker) == [StartWorker(1, 0)]
    # The successor may be ready early, but has no work while the predecessor works in the same slot.
    assert scheduler.handle(WorkerReady(1), 0.1) == []
    assert scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.2) == []
    commands = scheduler.handle(Progressed(0, 1, 1, 0.1, True), 0.3)
    assert only(commands, StopWorker) == [StopWorker(0)]
    assert sent(commands) == [(1, 2, 3), (1, 3, 4)]


def test_a_task_may_be_several_items() -> None:
    scheduler = ready_pool(1, max_tasks_per_child=1)
    commands = scheduler.handle(JobOpened(JobSpec(0, 9, True, chunksize=3, task_size=3)), 0.0)
    assert sent(commands) == [(0, 0, 3)]


def test_a_failing_initializer_fails_every_outstanding_job_once_and_nothing_is_started() -> None:
    scheduler = Scheduler(Config(2))
    scheduler.handle(Tick(), 0.0)
    scheduler.handle(JobOpened(JobSpec(0, 3, True)), 0.0)
    scheduler.handle(JobOpened(JobSpec(1, 3, False)), 0.0)
    commands = scheduler.handle(WorkerStartFailed(0), 0.1)
    assert commands == [FailJob(0, Why.INITIALIZER), FinishJob(0), FailJob(1, Why.INITIALIZER)]
    assert scheduler.handle(WorkerStartFailed(1), 0.1) == []
    # New work makes one new attempt, with one worker.
    assert scheduler.handle(JobGrew(1, 4), 0.2) == [StartWorker(2, 0)]
    assert scheduler.handle(JobGrew(1, 5), 0.2) == []
    assert scheduler.handle(WorkerStartFailed(2), 0.3) == [FailJob(1, Why.INITIALIZER)]
    assert scheduler.next_deadline() is None


def test_after_a_successful_attempt_the_rest_follow() -> None:
    scheduler = Scheduler(Config(2))
    scheduler.handle(Tick(), 0.0)
    scheduler.handle(WorkerStartFailed(0), 0.1)
    scheduler.handle(WorkerStartFailed(1), 0.1)
    assert scheduler.handle(JobOpened(JobSpec(0, 3, True)), 0.2) == [StartWorker(2, 0)]
    commands = scheduler.handle(WorkerReady(2), 0.3)
    assert only(commands, StartWorker) == [StartWorker(3, 1)]
    assert sent(commands)


def test_workers_that_die_starting_are_not_started_for_ever() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 3, True, chunksize=1)), 0.0)
    assert only(scheduler.handle(WorkerExited(0, 0), 0.1), StartWorker) == [StartWorker(1, 0)]
    assert scheduler.handle(WorkerExited(1, None), 0.1) == [StartWorker(2, 0)]
    now = 0.1
    for worker in range(2, 6):
        assert scheduler.handle(WorkerExited(worker, None), now) == []
        scheduler.validate()
        deadline = scheduler.next_deadline()
        assert deadline is not None
        assert deadline > now
        now = deadline
        assert scheduler.handle(Tick(), now) == [StartWorker(worker + 1, 0)]
    assert scheduler.handle(WorkerExited(6, None), now) == [FailJob(0, Why.DIED_STARTING), FinishJob(0)]
    assert 1 < now < 5


def test_where_no_worker_was_ever_ready_the_first_that_dies_is_proof_enough() -> None:
    scheduler = Scheduler(Config(1))
    scheduler.handle(Tick(), 0.0)
    scheduler.handle(JobOpened(JobSpec(0, 3, True)), 0.0)
    assert scheduler.handle(WorkerExited(0, 1), 0.1) == [FailJob(0, Why.DIED_STARTING), FinishJob(0)]


def test_a_start_that_fails_while_others_work_is_tried_again_later_and_later() -> None:
    scheduler = ready_pool(2)
    scheduler.handle(JobOpened(JobSpec(0, 0, False)), 0.0)
    started, now, number = 0, 0.0, 1
    for total in range(1, 2000):
        for event in (WorkerExited(number, None), JobGrew(0, total)):
            for command in only(scheduler.handle(event, now), StartWorker):
                started, number = started + 1, command.worker
        now += 0.01
    assert 5 < started < 15  # of 2,000 occasions in 20 seconds


def test_a_long_call_does_not_stay_with_half_of_the_workers_after_failing_starts() -> None:
    """Nothing happens but the passing of time: one attempt, and if that succeeds, the rest."""
    scheduler = ready_pool(3)
    scheduler.handle(JobOpened(JobSpec(0, 90, True, chunksize=1)), 0.0)
    for worker in (1, 2, 3, 4, 5):
        scheduler.handle(WorkerExited(worker, None), 1.0)
    deadline = scheduler.next_deadline()
    assert deadline is not None
    assert 1.05 < deadline < 3.0
    assert scheduler.handle(Tick(), deadline) == [StartWorker(6, 1)]
    assert scheduler.next_deadline() is None
    assert only(scheduler.handle(WorkerReady(6), deadline), StartWorker) == [StartWorker(7, 2)]
    scheduler.validate()


def test_nobody_wakes_up_for_failing_starts_while_nothing_waits() -> None:
    scheduler = ready_pool(2)
    for worker in (1, 2, 3):
        scheduler.handle(WorkerExited(worker, None), 1.0)
    assert scheduler.next_deadline() is None
    assert only(scheduler.handle(JobOpened(JobSpec(0, 9, True)), 9.0), StartWorker)


def test_workers_that_die_as_soon_as_they_are_ready_are_not_started_for_ever() -> None:
    scheduler = Scheduler(Config(2))
    commands = scheduler.handle(Tick(), 0.0)
    started = 0
    while starts := only(commands, StartWorker):
        started += len(starts)
        commands = []
        for start in starts:
            commands += scheduler.handle(WorkerReady(start.worker), 0.0)
            commands += scheduler.handle(WorkerExited(start.worker, None), 0.0)
        assert started < 50
    assert scheduler.handle(JobOpened(JobSpec(0, 1, True)), 1.0) == [StartWorker(started, 0)]


def test_shrinking_lets_the_last_slots_finish_and_growing_fills_them_again() -> None:
    scheduler = ready_pool(3)
    scheduler.handle(JobOpened(JobSpec(0, 3, True)), 0.0)
    assert scheduler.handle(Resized(1), 0.1) == []
    assert StopWorker(2) in scheduler.handle(Progressed(2, 0, 1, 0.1, True), 0.2)
    assert scheduler.handle(Resized(3), 0.3) == [StartWorker(3, 1), StartWorker(4, 2)]
    scheduler.validate()


def test_draining_finishes_everything_and_then_stops_everybody() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True)), 0.0)
    assert scheduler.handle(CloseAsked(Mode.DRAIN), 0.1) == []
    assert scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.2) == [FinishJob(0), StopWorker(0)]
    assert scheduler.handle(WorkerExited(0, None), 0.3) == []


def test_a_pool_that_is_closed_while_it_tries_to_start_again_ends() -> None:
    """The attempt itself is told to leave: no reason for another one."""
    scheduler = Scheduler(Config(2, on_demand=True))
    scheduler.handle(JobOpened(JobSpec(0, 1, True)), 0.0)
    scheduler.handle(WorkerStartFailed(0), 0.1)
    assert scheduler.handle(JobOpened(JobSpec(1, 1, True)), 0.2) == [StartWorker(1, 0)]
    assert scheduler.handle(JobCancelled(1, False), 0.3) == [DropItems(1, 0, 1), FinishJob(1)]
    assert scheduler.handle(CloseAsked(Mode.DRAIN), 0.3) == [StopWorker(1)]
    assert scheduler.handle(WorkerExited(1, None), 0.4) == []
    scheduler.validate()


def test_what_is_known_of_slots_does_not_grow_with_the_workers_that_had_them() -> None:
    scheduler = ready_pool(1, max_tasks_per_child=1)
    scheduler.handle(JobOpened(JobSpec(0, 100, True, chunksize=1)), 0.0)
    for worker in range(100):
        scheduler.handle(Progressed(worker, 0, 1, 0.1, True), 0.1)
        scheduler.handle(WorkerReady(worker + 1), 0.1)
        scheduler.handle(WorkerExited(worker, None), 0.1)
    assert scheduler.next_worker >= 100
    assert len(scheduler.slots._vacant) <= 1


def test_cancelling_the_queue_drops_what_has_not_started() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 9, False)), 0.0)
    assert scheduler.handle(CloseAsked(Mode.CANCEL_QUEUED), 0.1) == [DropItems(0, 2, 9), TakeBack(0, 0)]
    assert scheduler.handle(TookBack(0, 1), 0.1) == [DropItems(0, 1, 2)]
    scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.2)
    assert scheduler.handle(Progressed(0, 1, 0, 0.0, True), 0.2) == [StopWorker(0)]


def test_terminating_drops_everything_and_kills_everybody() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 3, True)), 0.0)
    commands = scheduler.handle(CloseAsked(Mode.TERMINATE), 0.1)
    assert sorted((c.start, c.stop) for c in only(commands, DropItems)) == [(0, 1), (1, 2), (2, 3)]
    assert commands[-2:] == [FinishJob(0), KillWorker(0, Why.TERMINATED)]
    assert scheduler.handle(WorkerExited(0, 0), 0.2) == []


@pytest.mark.parametrize("state", WorkerState)
@pytest.mark.parametrize("move", WorkerMove)
def test_workers_move_by_the_table_and_every_other_move_raises(state: WorkerState, move: WorkerMove) -> None:
    worker = Worker(5, 0, 0, 0.0)
    worker.state = state
    if (state, move) in WORKER_MOVES:
        worker.move(move)
        assert worker.state is WORKER_MOVES[state, move]
    else:
        with pytest.raises(PolicyError, match=f"cannot {move.value} <Worker 5 slot=0 {state.name}"):
            worker.move(move)


def test_room_in_the_window_calls_for_a_worker_where_those_at_work_are_leaving() -> None:
    scheduler = Scheduler(Config(2, on_demand=True, prefetch=3))
    scheduler.handle(JobOpened(JobSpec(0, 3, True, window=2)), 0.0)
    assert sent(scheduler.handle(WorkerReady(1), 0.1)) == [(1, 0, 1), (1, 1, 2)]
    scheduler.handle(WorkerExited(0, None), 0.2)
    assert scheduler.handle(Resized(1), 0.3) == []  # worker 1 is in slot 1, and leaves after what it has
    assert scheduler.handle(Progressed(1, 0, 1, 0.1, True), 0.4) == []
    assert only(scheduler.handle(JobConsumed(0, 1), 0.5), StartWorker) == [StartWorker(2, 0)]
