"""Taking back: stealing, cancelling, and deadlines."""

from __future__ import annotations

import pytest

from phalanx._policy import (
    CancelAsked,
    DropItems,
    DumpStack,
    FinishJob,
    ItemFailed,
    JobCancelled,
    JobOpened,
    JobSpec,
    KillWorker,
    Look,
    Progressed,
    Scheduler,
    SettleItem,
    TakeBack,
    Tick,
    TimeOutItem,
    TookBack,
    Why,
    WorkerExited,
    WorkerReady,
    WorkerSeen,
)
from phalanx._policy.stealing import STUCK
from phalanx._policy.watching import LAST_WORDS
from tests.policy.pools import only, ready_pool, sent


def one_works_and_one_idles() -> Scheduler:
    """Worker 1 holds eight items of unknown cost, worker 0 nothing."""
    scheduler = ready_pool(2)
    assert sent(scheduler.handle(JobOpened(JobSpec(0, 8, True, chunksize=8)), 0.0)) == [(1, 0, 8)]
    return scheduler


def test_an_idle_worker_gets_its_share_of_what_another_has_not_begun() -> None:
    scheduler = one_works_and_one_idles()
    assert scheduler.handle(Progressed(1, 0, 2, 0.002, False), 0.002) == [TakeBack(1, 5)]
    assert sent(scheduler.handle(TookBack(1, 5), 0.002)) == [(0, 5, 8)]
    scheduler.validate()


def test_what_is_about_to_be_done_anyway_is_left_alone() -> None:
    scheduler = one_works_and_one_idles()
    assert scheduler.handle(Progressed(1, 0, 2, 0.000_002, False), 0.002) == []


def test_everything_behind_a_long_item_is_taken() -> None:
    scheduler = one_works_and_one_idles()
    assert scheduler.next_deadline() == STUCK
    assert scheduler.handle(Tick(), STUCK) == [TakeBack(1, 1)]
    assert sent(scheduler.handle(TookBack(1, 1), STUCK)) == [(0, 1, 8)]


def test_what_was_claimed_is_not_asked_for_again() -> None:
    scheduler = one_works_and_one_idles()
    scheduler.handle(Tick(), STUCK)
    assert scheduler.handle(TookBack(1, 8), STUCK) == []
    assert scheduler.next_deadline() is None
    assert scheduler.handle(Tick(), 1.0) == []


def test_what_was_claimed_is_asked_for_again_when_the_worker_gave_it_back() -> None:
    """A report without news: the worker is inside a long item, and has claimed too much before that."""
    scheduler = one_works_and_one_idles()
    scheduler.handle(Tick(), STUCK)
    assert scheduler.handle(TookBack(1, 8), STUCK) == []
    assert scheduler.handle(Progressed(1, 0, 0, 0.025, False), 0.025) == [TakeBack(1, 1)]
    assert sent(scheduler.handle(TookBack(1, 1), 0.025)) == [(0, 1, 8)]
    scheduler.validate()


def test_who_gave_a_share_and_turns_out_to_be_stuck_gives_the_rest() -> None:
    """A long item among short ones: the first share leaves something behind it."""
    scheduler = one_works_and_one_idles()
    scheduler.handle(Progressed(1, 0, 2, 0.002, False), 0.002)
    assert sent(scheduler.handle(TookBack(1, 5), 0.002)) == [(0, 5, 8)]
    scheduler.handle(Progressed(0, 1, 3, 0.003, True), 0.005)
    stuck_at = scheduler.next_deadline()
    assert stuck_at is not None
    assert scheduler.handle(Tick(), stuck_at) == [TakeBack(1, 3)]
    assert sent(scheduler.handle(TookBack(1, 3), stuck_at)) == [(0, 3, 5)]
    scheduler.validate()
    assert scheduler.next_deadline() is None


def test_a_worker_with_a_lowered_limit_gets_nothing_until_its_batches_have_ended() -> None:
    scheduler = one_works_and_one_idles()
    scheduler.handle(Tick(), STUCK)
    scheduler.handle(TookBack(1, 1), STUCK)
    assert sent(scheduler.handle(JobOpened(JobSpec(1, 2, True)), 0.03)) == [(0, 0, 1)]
    assert sent(scheduler.handle(Progressed(1, 0, 1, 0.04, True), 0.04)) == [(1, 1, 2)]


def test_a_late_repetition_of_an_answer_takes_nothing_back() -> None:
    scheduler = one_works_and_one_idles()
    scheduler.handle(Tick(), STUCK)
    scheduler.handle(TookBack(1, 1), STUCK)
    scheduler.handle(Progressed(1, 0, 1, 0.04, True), 0.04)
    scheduler.handle(JobOpened(JobSpec(1, 8, True, chunksize=4)), 0.05)
    before = scheduler.facts()
    assert scheduler.handle(TookBack(1, 1), 0.06) == []
    assert scheduler.facts() == before


def test_nobody_is_asked_while_something_is_queued_or_nobody_idles() -> None:
    scheduler = ready_pool(2)
    scheduler.handle(JobOpened(JobSpec(0, 100, True, chunksize=5)), 0.0)
    assert only(scheduler.handle(Progressed(0, 1, 5, 0.1, True), 0.1), TakeBack) == []
    assert scheduler.next_deadline() is None


def test_a_queued_item_is_cancelled_at_once_and_a_sent_one_if_it_has_not_begun() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 5, True, chunksize=1)), 0.0)
    assert scheduler.handle(CancelAsked(0, 3), 0.0) == [DropItems(0, 3, 4)]
    assert scheduler.handle(CancelAsked(0, 3), 0.0) == []
    assert scheduler.handle(CancelAsked(0, 1), 0.0) == [TakeBack(0, 1)]
    assert scheduler.handle(TookBack(0, 1), 0.0) == [DropItems(0, 1, 2)]
    assert scheduler.handle(CancelAsked(0, 0), 0.0) == [TakeBack(0, 0)]
    assert scheduler.handle(TookBack(0, 1), 0.0) == []  # it has begun
    scheduler.validate()


def test_a_cancelled_job_drops_what_waits_and_finishes_with_what_runs() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 9, False, chunksize=3)), 0.0)
    assert scheduler.handle(JobCancelled(0, False), 0.0) == [DropItems(0, 6, 9), TakeBack(0, 0)]
    assert scheduler.handle(TookBack(0, 1), 0.0) == [DropItems(0, 1, 3), DropItems(0, 3, 6)]
    assert scheduler.handle(Progressed(0, 0, 1, 0.1, True), 0.1) == [FinishJob(0)]


def test_a_job_that_is_killed_drops_what_ran_when_its_worker_is_dead() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True)), 0.0)
    scheduler.handle(JobCancelled(0, True), 0.0)
    assert KillWorker(0, Why.CANCELLED) in scheduler.handle(TookBack(0, 1), 0.0)
    assert scheduler.handle(WorkerExited(0, 0), 0.1) == [DropItems(0, 0, 1), FinishJob(0)]


def test_an_item_past_its_timeout_is_killed_with_its_worker_and_its_neighbours_go_again() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 3, True, chunksize=3, timeout=1.0)), 0.0)
    assert scheduler.next_deadline() == 1.0
    assert scheduler.handle(Tick(), 1.0) == [Look(0)]
    assert scheduler.handle(WorkerSeen(0, 1, since=0.4), 1.0) == []
    assert scheduler.next_deadline() == pytest.approx(1.4)
    assert scheduler.handle(Tick(), 1.4) == [Look(0)]
    assert scheduler.handle(WorkerSeen(0, 1, since=0.4), 1.4) == [DumpStack(0)]
    assert scheduler.next_deadline() == pytest.approx(1.4 + LAST_WORDS)
    assert scheduler.handle(Tick(), 1.43) == [Look(0)]
    assert scheduler.handle(WorkerSeen(0, 1, since=0.4), 1.43) == [DumpStack(0, again=True)]
    assert scheduler.next_deadline() == pytest.approx(1.43 + LAST_WORDS)
    assert scheduler.handle(Tick(), 1.46) == [Look(0)]
    commands = scheduler.handle(WorkerSeen(0, 1, since=0.4), 1.46)
    assert commands[:2] == [KillWorker(0, Why.TIMED_OUT), TimeOutItem(0, 1, 0)]
    assert scheduler.handle(WorkerExited(0, 1), 1.5) == []
    (job,) = scheduler.facts().jobs
    assert job.missing == [(0, 1), (2, 3)]


def test_without_a_start_time_an_item_has_its_timeout_from_when_it_was_first_seen() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True, timeout=1.0)), 0.0)
    scheduler.handle(Tick(), 1.0)
    assert scheduler.handle(WorkerSeen(0, 0), 1.0) == []
    scheduler.handle(Tick(), 2.0)
    assert scheduler.handle(WorkerSeen(0, 0), 2.0) == [DumpStack(0)]
    assert scheduler.handle(WorkerSeen(0, 0), 2.1) == [DumpStack(0, again=True)]
    assert TimeOutItem(0, 0, 0) in scheduler.handle(WorkerSeen(0, 0), 2.2)


def test_an_item_that_ends_while_it_is_asked_where_it_is_has_ended() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2, timeout=1.0)), 0.0)
    assert scheduler.handle(WorkerSeen(0, 0, since=0.0), 1.0) == [DumpStack(0)]
    assert scheduler.handle(WorkerSeen(0, 1, since=1.01), 1.06) == []
    assert scheduler.handle(WorkerSeen(0, 1, since=1.01), 2.01) == [DumpStack(0)]


def test_a_short_timeout_behind_a_long_one_is_looked_at_in_time() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True, timeout=60.0)), 0.0)
    scheduler.handle(JobOpened(JobSpec(1, 1, True, timeout=0.5)), 0.0)
    assert scheduler.handle(Tick(), 0.5) == [Look(0)]
    assert scheduler.handle(WorkerSeen(0, 0, since=0.0), 0.5) == []
    scheduler.handle(Progressed(0, 0, 1, 0.6, True), 0.6)
    deadline = scheduler.next_deadline()
    assert deadline is not None
    assert deadline <= 1.1


def test_an_item_that_has_begun_is_stopped_with_its_worker_if_that_is_asked_for() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2)), 0.0)
    assert scheduler.handle(CancelAsked(0, 1, kill=True), 0.1) == [TakeBack(0, 1)]
    assert scheduler.handle(TookBack(0, 2), 0.1) == [Look(0)]
    assert KillWorker(0, Why.CANCELLED) in scheduler.handle(WorkerSeen(0, 1), 0.1)
    # What its worker had finished and not sent goes again.
    assert scheduler.handle(WorkerExited(0, 1), 0.2) == [DropItems(0, 1, 2)]
    assert sent(scheduler.handle(WorkerReady(1), 0.3)) == [(1, 0, 1)]


def test_an_item_that_has_not_begun_is_dropped_and_its_worker_left_alone() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2)), 0.0)
    assert scheduler.handle(CancelAsked(0, 1, kill=True), 0.1) == [TakeBack(0, 1)]
    assert scheduler.handle(TookBack(0, 1), 0.1) == [DropItems(0, 1, 2)]


def test_an_error_is_tried_again_as_often_as_it_may_after_a_growing_pause() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True, retries=2, backoff=1.0)), 0.0)
    now, pauses = 0.0, []
    for batch in range(2):
        assert scheduler.handle(ItemFailed(0, 0, True), now) == []
        assert scheduler.handle(Progressed(0, batch, 1, 0.1, True), now) == []
        deadline = scheduler.next_deadline()
        assert deadline is not None
        pauses.append(deadline - now)
        now = deadline
        assert sent(scheduler.handle(Tick(), now)) == [(0, 0, 1)]
    assert 0.5 <= pauses[0] < 1.5
    assert 1.0 <= pauses[1] < 3.0
    assert scheduler.handle(ItemFailed(0, 0, True), now) == [SettleItem(0, 0, tries=3), FinishJob(0)]


def test_an_error_that_may_not_be_tried_again_stands() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=2, retries=2)), 0.0)
    assert scheduler.handle(ItemFailed(0, 0, False, worker=0), 0.1) == [SettleItem(0, 0)]
    assert scheduler.handle(ItemFailed(0, 0, False, worker=0), 0.1) == []
    assert scheduler.handle(Progressed(0, 0, 2, 0.1, True), 0.1) == [FinishJob(0)]


def test_an_item_that_is_tried_again_elsewhere_fails_where_it_is_now() -> None:
    scheduler = ready_pool(2, prefetch=1)
    scheduler.handle(JobOpened(JobSpec(0, 2, True, chunksize=1, retries=1)), 0.0)
    # The batch that it failed in has not told its end when the item fails again, with the other worker.
    scheduler.handle(Progressed(0, 1, 1, 0.1, True), 0.1)
    assert sent(scheduler.handle(ItemFailed(0, 0, True), 0.1)) == [(0, 0, 1)]
    assert scheduler.handle(ItemFailed(0, 0, False), 0.2) == [SettleItem(0, 0, tries=2), FinishJob(0)]


def test_an_item_that_waits_to_be_tried_again_behind_its_first_batch_can_be_cancelled() -> None:
    scheduler = ready_pool(1)
    scheduler.handle(JobOpened(JobSpec(0, 1, True, retries=1)), 0.0)
    assert sent(scheduler.handle(ItemFailed(0, 0, True), 0.1)) == [(0, 0, 1)]
    assert scheduler.handle(CancelAsked(0, 0), 0.1) == [TakeBack(0, 1)]
    assert scheduler.handle(TookBack(0, 1), 0.1) == [DropItems(0, 0, 1), FinishJob(0)]
