"""Batches: how big, in which order, for whom."""

from __future__ import annotations

import pytest

from phalanx._policy import (
    Allow,
    DropItems,
    FinishJob,
    JobCancelled,
    JobConsumed,
    JobGrew,
    JobOpened,
    JobSealed,
    JobSpec,
    PolicyError,
    Progressed,
    SendBatch,
)
from phalanx._policy.jobs import JOB_MOVES, Job, JobMove
from phalanx._policy.sizing import GROWTH, Pace
from tests.policy.pools import ready_pool, sent


def test_the_first_batches_hold_one_item_and_everybody_gets_one_before_anybody_gets_two() -> None:
    scheduler = ready_pool()
    commands = scheduler.handle(JobOpened(JobSpec(7, 100, True)), 0.0)
    assert [worker for worker, _, _ in sent(commands)][:2] in ([0, 1], [1, 0])
    assert sent(commands) == [(1, 0, 1), (0, 1, 2), (0, 2, 3), (1, 3, 4)]
    assert not scheduler.hungry


def test_sequence_numbers_count_all_items_of_a_worker() -> None:
    scheduler = ready_pool(1)
    first = scheduler.handle(JobOpened(JobSpec(0, 2, True)), 0.0)
    assert [c.batch.seq for c in first if isinstance(c, SendBatch)] == [0, 1]
    scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.1)
    scheduler.handle(Progressed(0, 1, 1, 0.1, True), 0.2)
    (again,) = scheduler.handle(JobOpened(JobSpec(1, 1, True)), 0.3)
    assert isinstance(again, SendBatch)
    assert again.batch.seq == 2


def test_a_batch_grows_at_most_by_the_growth_factor() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1_000_000, True)), 0.0)
    size, batch, sizes = 1, 0, []
    for _ in range(3):
        commands = scheduler.handle(Progressed(0, batch, size, 1e-9 * size, True), 0.0)
        ((_, start, stop),) = sent(commands)
        sizes.append(stop - start)
        batch, size = batch + 1, sizes[-2] if len(sizes) > 1 else 1
    assert sizes == [GROWTH, GROWTH, GROWTH * GROWTH]


def test_a_batch_aims_at_the_target() -> None:
    pace = Pace(0.002)
    pace.learn(1, 0.0001, 1)
    assert pace.want == 19 or pace.want == 20
    pace = Pace(0.002)
    pace.learn(1, 5.0, 1)
    assert pace.want == 1


def test_the_tail_is_spread() -> None:
    scheduler = ready_pool(2)
    scheduler.handle(JobOpened(JobSpec(0, 44, True)), 0.0)
    ((_, start, stop),) = sent(scheduler.handle(Progressed(1, 0, 1, 1e-6, True), 0.0))
    assert stop - start == 10  # a quarter of the 40 that are left, though 32 would do


def test_a_fixed_chunk_size_is_obeyed() -> None:
    scheduler = ready_pool(2)
    commands = scheduler.handle(JobOpened(JobSpec(0, 10, True, chunksize=4)), 0.0)
    assert sorted(batch[1:] for batch in sent(commands)) == [(0, 4), (4, 8), (8, 10)]


def test_jobs_take_turns() -> None:
    scheduler = ready_pool(1, prefetch=1)
    scheduler.handle(JobOpened(JobSpec(0, 3, True, chunksize=1)), 0.0)
    scheduler.handle(JobOpened(JobSpec(1, 3, True, chunksize=1)), 0.0)
    order = []
    for batch in range(5):
        for command in scheduler.handle(Progressed(0, batch, 1, 0.1, True), 0.0):
            if isinstance(command, SendBatch):
                order.append(command.batch.job)
    assert order == [1, 0, 1, 0, 1] or order == [0, 1, 0, 1, 1]


def test_growth_is_only_noted_when_nobody_can_take_work() -> None:
    scheduler = ready_pool(1)
    assert scheduler.handle(JobOpened(JobSpec(0, 0, False)), 0.0) == []
    assert scheduler.hungry
    assert len(sent(scheduler.handle(JobGrew(0, 1), 0.0))) == 1
    assert len(sent(scheduler.handle(JobGrew(0, 2), 0.0))) == 1
    assert not scheduler.hungry
    assert scheduler.handle(JobGrew(0, 3), 0.0) == []


def test_what_queued_up_goes_in_one_batch() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 0, False)), 0.0)
    for total in range(1, 23):
        scheduler.handle(JobGrew(0, total), 0.0)
    assert sent(scheduler.handle(Progressed(0, 0, 1, 1e-6, True), 0.0)) == [(0, 2, 12)]


def test_a_window_limits_what_is_given_out_and_says_what_may_be_pulled() -> None:
    scheduler = ready_pool(2)
    commands = scheduler.handle(JobOpened(JobSpec(0, 100, True, window=3)), 0.0)
    assert commands[0] == Allow(0, 3)
    assert sum(stop - start for _, start, stop in sent(commands)) == 3
    scheduler.handle(Progressed(1, 0, 1, 0.1, True), 0.0)
    commands = scheduler.handle(JobConsumed(0, 1), 0.0)
    assert commands[0] == Allow(0, 4)
    assert sent(commands) == [(1, 3, 4)]


def test_a_quick_consumer_of_a_full_window_does_not_shrink_the_batches() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 10_000, True, window=400)), 0.0)
    scheduler.handle(Progressed(0, 0, 1, 1e-7, True), 0.0)
    scheduler.handle(Progressed(0, 1, 1, 1e-7, True), 0.0)
    consumed, batch, sizes = 2, 2, []
    size = {
        batch.id: batch.stop - batch.start for held in scheduler.facts().workers for batch, _ in held.held
    }
    while consumed < 5000:
        if batch in size:
            commands = scheduler.handle(Progressed(0, batch, size[batch], 1e-7 * size[batch], True), 0.0)
            arrived, batch = size[batch], batch + 1
        else:
            arrived, commands = 0, []
        for _ in range(arrived):
            consumed += 1
            commands += scheduler.handle(JobConsumed(0, consumed), 0.0)
        for command in commands:
            if isinstance(command, SendBatch):
                size[command.batch.id] = command.batch.stop - command.batch.start
                sizes.append(size[command.batch.id])
    assert min(sizes) >= 32


def test_a_job_finishes_when_it_is_sealed_and_everything_has_arrived() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, False)), 0.0)
    assert scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.0) == []
    assert scheduler.handle(JobSealed(0), 0.0) == [FinishJob(0)]


def test_a_job_over_nothing_finishes_at_once() -> None:
    assert ready_pool().handle(JobOpened(JobSpec(0, 0, True)), 0.0) == [FinishJob(0)]


def test_what_is_told_twice_counts_once() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 4, True, chunksize=4)), 0.0)
    for _ in range(2):
        assert scheduler.handle(Progressed(0, 0, 3, 0.1, False), 0.0) == []
    assert scheduler.handle(Progressed(0, 0, 4, 0.1, True), 0.0) == [FinishJob(0)]
    assert scheduler.handle(Progressed(0, 0, 4, 0.1, True), 0.0) == []
    assert scheduler.handle(JobCancelled(0, True), 0.0) == []


def test_a_job_sealed_while_its_window_is_full_goes_on_when_the_caller_does() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 8, False, window=8)), 0.0)
    assert scheduler.handle(JobCancelled(0, False), 0.0)[0] == DropItems(0, 2, 8)


@pytest.mark.parametrize("move", JobMove)
def test_an_illegal_move_of_a_job_raises_with_the_story(move: JobMove) -> None:
    job = Job(JobSpec(3, 0, True), 1, 0.002)
    job.move(JobMove.FINISH)
    assert not any(state is job.state for state, _ in JOB_MOVES)
    with pytest.raises(PolicyError, match=f"cannot {move.value} <Job 3 FINISHED"):
        job.move(move)
