"""What follows when a deadline passes: looks at workers, and retries after a pause."""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.commands import Command, SettleItem
from phalanx._policy.events import ItemFailed, Tick
from phalanx._policy.jobs import Job
from phalanx._policy.records import JobState
from phalanx._policy.staffing import work_came
from phalanx._policy.watching import look
from phalanx._policy.workers import Held, Worker

__all__ = ["item_failed", "tick"]


def tick(books: Books, event: Tick, now: float, out: list[Command]) -> None:
    """Do what is due."""
    while (owner := books.alarms.due(now)) is not None:
        if isinstance(owner, Worker):
            look(books, owner, now, out)
        else:
            job, index = owner
            job.waiting.discard(index)
            job.give_back(index, index + 1)
            books.list_job(job)
    if books.turn or books.alones:
        work_came(books, now)


def item_failed(books: Books, event: ItemFailed, now: float, out: list[Command]) -> None:
    """Try the item again, or let its error stand."""
    job = books.jobs.get(event.job)
    found = None if job is None else holder(books, job, event)
    if job is None or found is None:
        return
    held, place = found
    held.set_apart(place)
    index = event.index
    tries = job.tries.get(index, 0)
    if event.retryable and tries < job.spec.retries and job.state is not JobState.CANCELLED:
        job.tries[index] = tries + 1
        if job.spec.backoff > 0.0:
            books.alarms.retry(job, index, now)
        else:
            books.requeue(job, index, index + 1, out)
    else:
        job.settled += 1
        out.append(SettleItem(job.id, index, job.close_attempts(index)))
        books.finish_if_done(job, out)


def holder(books: Books, job: Job, event: ItemFailed) -> tuple[Held, int] | None:
    """The batch and place of an item that is held.

    An item that is tried again stands in two batches at once: apart in the one where it failed first, until
    that batch has passed it, and in the one that holds it now.
    """
    worker = None if event.worker is None else books.workers.get(event.worker)
    for held in job.held.values() if worker is None else worker.held:
        place = event.index - held.batch.start
        if held.job is job and held.done <= place < held.end and not held.is_apart(place) and not held.void:
            return held, place
    return None
