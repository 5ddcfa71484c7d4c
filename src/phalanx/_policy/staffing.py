"""Staffing: starting, replacing, recycling and stopping workers (the theory is in `slots`)."""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.commands import Command, FailJob, KillWorker, StartWorker, StopWorker
from phalanx._policy.jobs import Job
from phalanx._policy.records import Mode, Why, WorkerState
from phalanx._policy.workers import COUNTED, Worker, WorkerMove

__all__ = [
    "bury",
    "kill",
    "lost_ready",
    "next_attempt",
    "retire",
    "staff_up",
    "start_failed",
    "stop",
    "wind_down",
    "work_came",
]

# While others are at work, a failing start is tried again after a pause that doubles: between a blink and
# what a person who fixed the cause would wait.
FIRST_PAUSE = 0.1
LAST_PAUSE = 30.0
# Where workers have been ready before, so many may be killed on their way in a row (with pauses between that
# make up a second or two) before everything outstanding fails. Where none ever was, the first is proof enough.
MOST_BAD = 6


def staff_up(books: Books, now: float, out: list[Command]) -> None:
    """Start as many workers as are wanted and missing."""
    starts = books.starts
    if starts.halted and not books.counted and (books.alones or books.offering() is not None):
        work_came(books, now)  # what is outstanding has not been failed
    for _ in range(missing(books)):
        slot = books.slots.first_vacant()
        if slot is None:
            return
        worker = Worker(books.next_worker, slot, starts.epoch, now)
        books.next_worker += 1
        books.workers[worker.id] = worker
        books.slots.seat(worker)
        books.starting += 1
        books.counted += 1
        if starts.probing:
            starts.probe = worker.id
        out.append(StartWorker(worker.id, slot))


def missing(books: Books) -> int:
    """How many workers to start now; derived from the state, each time."""
    starts = books.starts
    gap = books.size - books.counted
    if gap <= 0 or starts.halted or books.mode is Mode.TERMINATE:
        return 0
    if books.mode is not None and not books.jobs:
        return 0  # whoever came now would be told to leave at once
    if starts.probing:
        probe = None if starts.probe is None else books.workers.get(starts.probe)
        return 0 if probe is not None and probe.state is WorkerState.STARTING else 1
    if books.config.on_demand or books.mode is not None:
        return max(0, min(gap, demand(books, gap)))
    return gap


def demand(books: Books, enough: int) -> int:
    """How many more workers the queued work could use (counted no further than needed)."""
    spare = len(books.idle) + books.starting
    # A full worker's second batch waits as much as what is queued.
    waiting = books.ready - len(books.idle) - len(books.partial) if books.prefetch > 1 else 0
    waiting += len(books.alones)
    for job in books.turn:
        if waiting - spare >= enough:
            break
        waiting += job.back + max(0, job.limit - job.next)
    return waiting - spare


def work_came(books: Books, now: float) -> None:
    """New work, or work that waits, is worth a new attempt."""
    if books.starts.halted and now >= books.starts.not_before:
        books.starts.retry()


def next_attempt(books: Books, other: float | None) -> float | None:
    """When to try to start a worker again, or `other` if that is earlier: only while work waits for one."""
    if books.counted >= books.size or not (books.turn or books.alones):
        return other
    when = books.starts.not_before
    return when if other is None or when < other else other


def retire(books: Books, worker: Worker, out: list[Command]) -> None:
    """Let it finish what it holds, then leave."""
    books.change(worker, WorkerMove.RETIRE)
    if not worker.held:
        stop(books, worker, out)


def stop(books: Books, worker: Worker, out: list[Command]) -> None:
    """Tell it to leave."""
    books.change(worker, WorkerMove.STOP)
    books.leave_slot(worker)
    out.append(StopWorker(worker.id))


def kill(books: Books, worker: Worker, why: Why, out: list[Command]) -> None:
    """End it by force."""
    if worker.state is not WorkerState.DYING:
        books.change(worker, WorkerMove.KILL)
        books.victims.pop(worker.id, None)
        out.append(KillWorker(worker.id, why))


def bury(books: Books, worker: Worker) -> None:
    """It has ended."""
    books.change(worker, WorkerMove.END)
    del books.workers[worker.id]
    books.victims.pop(worker.id, None)
    worker.alarm = None
    books.leave_slot(worker)


def start_failed(books: Books, worker: Worker, why: Why, now: float, out: list[Command]) -> None:
    """A worker, buried by now, never was ready."""
    starts = books.starts
    is_news = worker.epoch == starts.epoch
    if is_news:
        starts.bad += 1
        if why is Why.INITIALIZER:
            give_up(books, why, now, out)
            return
    if is_news and not books.counted and (starts.bad >= MOST_BAD or not starts.ever):
        give_up(books, why, now, out)
    elif starts.bad >= 2 and (books.counted or is_news):
        pause(books, now)


def lost_ready(books: Books, worker: Worker, blamed: bool, now: float, out: list[Command]) -> None:
    """A worker that was ready has died by itself, and is buried by now."""
    starts = books.starts
    starts.fruitless = 0 if worker.fruitful or blamed else starts.fruitless + 1
    if is_in_vain(books):
        starts.bad = max(2, starts.bad)
        if books.counted:
            pause(books, now)
        else:
            give_up(books, Why.DIED_STARTING, now, out)


def is_in_vain(books: Books) -> bool:
    """Workers become ready and die, and nothing gets done: every worker twice, and some. That is no accident.

    Being ready counts as no success then, only a finished item does.
    """
    return books.starts.fruitless > 2 * books.size + 8


def pause(books: Books, now: float) -> None:
    """Others are at work; leave the gap for a while."""
    starts = books.starts
    starts.halted = True
    starts.probing = False
    starts.not_before = now + min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(starts.bad - 2, 20))


def give_up(books: Books, why: Why, now: float, out: list[Command]) -> None:
    """Fail what is outstanding and start nobody until work comes."""
    starts = books.starts
    starts.halted = True
    starts.probing = False
    starts.not_before = now
    starts.epoch += 1
    fail_everything(books, why, out)


def fail_everything(books: Books, why: Why, out: list[Command]) -> None:
    """Every item without outcome has failed."""
    for job in list(books.jobs.values()):
        if job.settled < job.total:
            void_held(books, job, out)
            job.clear_queue()
            job.settled = job.total
            out.append(FailJob(job.id, why))
            books.finish_if_done(job, out)
    books.forget_stale_alones()


def void_held(books: Books, job: Job, out: list[Command]) -> None:
    """Nobody wants what the workers hold of this job; they need not begin it."""
    for held in job.held.values():
        held.void = True
        if held.done < held.end:
            books.take_back(held.worker, held.batch.seq + held.done)
    job.held.clear()
    job.unwanted.clear()


def wind_down(books: Books, out: list[Command]) -> None:
    """The pool is closed and has no job left: everybody leaves."""
    for worker in list(books.workers.values()):
        if worker.state in COUNTED:
            if worker.held:
                retire(books, worker, out)
            else:
                stop(books, worker, out)
