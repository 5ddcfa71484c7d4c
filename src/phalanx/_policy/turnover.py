"""Workers become ready, fail to, and die."""

from __future__ import annotations

from phalanx._policy import staffing
from phalanx._policy.assigning import go_on
from phalanx._policy.blame import judge, lose
from phalanx._policy.books import Books
from phalanx._policy.commands import Command
from phalanx._policy.events import Resized, WorkerExited, WorkerReady, WorkerStartFailed
from phalanx._policy.records import JobState, Why, WorkerState
from phalanx._policy.workers import COUNTED, Held, Worker, WorkerMove

__all__ = ["exited", "ready", "resized", "start_failed"]


def ready(books: Books, event: WorkerReady, now: float, out: list[Command]) -> None:
    """A worker takes work."""
    worker = books.workers.get(event.worker)
    if worker is not None and worker.state is WorkerState.STARTING:
        worker.seen = now
        books.change(worker, WorkerMove.READY)
        if not staffing.is_in_vain(books):
            books.starts.succeeded()
        go_on(books, now, out)


def start_failed(books: Books, event: WorkerStartFailed, now: float, out: list[Command]) -> None:
    """An initializer raised."""
    worker = books.workers.get(event.worker)
    if worker is not None and worker.state is WorkerState.STARTING:
        staffing.bury(books, worker)
        staffing.start_failed(books, worker, Why.INITIALIZER, now, out)
        go_on(books, now, out)


def exited(books: Books, event: WorkerExited, now: float, out: list[Command]) -> None:
    """A worker is dead: who is guilty, what goes again, who replaces it?"""
    worker = books.workers.get(event.worker)
    if worker is None:
        return
    was = worker.state
    staffing.bury(books, worker)
    blamed = False
    if was is WorkerState.STARTING:
        staffing.start_failed(books, worker, Why.DIED_STARTING, now, out)
    else:
        blamed = release(books, worker, event.current if was is not WorkerState.DYING else None, was, out)
        if was in (WorkerState.READY, WorkerState.RETIRING):
            staffing.lost_ready(books, worker, blamed, now, out)
    go_on(books, now, out)


def release(books: Books, worker: Worker, current: int | None, was: WorkerState, out: list[Command]) -> bool:
    """Give what a dead worker held its outcome or back to its job; True if an item was blamed."""
    guilty, alone = (None, None) if was is WorkerState.DYING else judge(worker, current)
    touched = {held.job.id: held.job for held in worker.held}
    if guilty is not None:
        convict(books, worker, *guilty, out)
    for held in worker.held:
        held.job.held.pop(held.batch.id, None)
        give = books.requeue_alone if held is alone else books.requeue
        for start, stop in list(held.left(held.done, held.end)):
            give(held.job, start, stop, out)
    worker.held.clear()
    worker.load = 0
    for job in touched.values():
        books.finish_if_done(job, out)
    return guilty is not None


def convict(books: Books, worker: Worker, held: Held, place: int, out: list[Command]) -> None:
    """The item has cost its worker: try it again, alone, as often as its options say."""
    held.set_apart(place)
    job = held.job
    index = held.batch.start + place
    crashes = job.crashes.get(index, 0)
    if crashes < job.spec.crash_retries and job.state is not JobState.CANCELLED:
        job.crashes[index] = crashes + 1
        books.requeue_alone(job, index, index + 1, out)
    else:
        lose(job, index, worker, out)


def resized(books: Books, event: Resized, now: float, out: list[Command]) -> None:
    """Grow at once; shrink by letting the last slots' workers finish."""
    books.size = event.size
    books.shares = 2 * max(1, event.size)
    books.slots.resize(event.size)
    for worker in list(books.workers.values()):
        if worker.slot >= event.size and worker.state in COUNTED:
            if worker.state is WorkerState.STARTING:
                staffing.stop(books, worker, out)
            else:
                staffing.retire(books, worker, out)
    go_on(books, now, out)
