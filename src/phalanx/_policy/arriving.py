"""Arriving: results come in, batches end."""

from __future__ import annotations

from phalanx._policy import staffing
from phalanx._policy.assigning import go_on
from phalanx._policy.books import Books
from phalanx._policy.cancelling import kill_if_unwanted
from phalanx._policy.commands import Command
from phalanx._policy.events import Progressed, Undecodable
from phalanx._policy.records import JobState, WorkerState
from phalanx._policy.workers import Held, Worker

__all__ = ["progressed", "undecodable"]


def progressed(books: Books, event: Progressed, now: float, out: list[Command]) -> None:
    """Results have arrived. The hot path of everything."""
    worker = books.workers.get(event.worker)
    held = None if worker is None else worker.find(event.batch)
    if worker is None or held is None:
        return
    job = held.job
    if event.done > held.done or event.ended:
        worker.seen = now  # else it is at the same item still, and has given back what it had claimed
    arrive(worker, held, event.done, event.seconds)
    if books.starts.fruitless and worker.fruitful:
        books.starts.fruitless = 0
        books.starts.succeeded()
    worker.claimed = 0
    if event.ended:
        end_batch(books, worker, held, out)
    if worker.load > 1 or worker.id in books.victims:
        books.mark_victim(worker)
    if job.settled == job.total:
        books.finish_if_done(job, out)
    if books.killing:
        kill_if_unwanted(books, worker, out)
    go_on(books, now, out)


def arrive(worker: Worker, held: Held, done: int, seconds: float) -> None:
    """Count what is new."""
    start = held.done
    if done > held.end:
        done = held.end
    count = done - start
    if count <= 0:
        return
    job = held.job
    job.pace.learn(count, seconds - held.seconds, done)
    held.seconds = seconds
    held.done = done
    worker.load -= count
    worker.fruitful = True
    if not held.void:
        if held.apart:
            count -= held.count_apart(start, done)
        job.settled += count
        if job.tries or job.crashes:
            for begin, end in held.left(start, done):
                for index in range(begin, end):
                    job.close_attempts(index)


def end_batch(books: Books, worker: Worker, held: Held, out: list[Command]) -> None:
    """The worker is through with it; what it did not do goes again."""
    worker.held.remove(held)
    worker.load -= held.end - held.done
    held.job.held.pop(held.batch.id, None)
    for start, stop in held.left(held.done, held.end):
        books.requeue(held.job, start, stop, out)
    after_end(books, worker, out)


def after_end(books: Books, worker: Worker, out: list[Command]) -> None:
    """A batch of the worker's has ended: what may it do now?"""
    if worker.held:
        books.place(worker)
        return
    worker.limited = worker.alone = False
    if worker.state is WorkerState.RETIRING:
        staffing.stop(books, worker, out)
    else:
        books.place(worker)


def undecodable(books: Books, event: Undecodable, now: float, out: list[Command]) -> None:
    """The batch cannot be read as a whole: which item is it?"""
    worker = books.workers.get(event.worker)
    held = None if worker is None else worker.find(event.batch)
    if worker is None or held is None:
        return
    job = held.job
    worker.held.remove(held)
    worker.load -= held.end - held.done
    worker.seen = now
    job.held.pop(held.batch.id, None)
    for start, stop in list(held.left(held.done, held.end)):
        if job.state is JobState.CANCELLED or job.unwanted:
            books.requeue(job, start, stop, out)
        else:
            job.give_back_singly(start, stop)
            books.list_job(job)
    after_end(books, worker, out)
    books.mark_victim(worker)
    books.finish_if_done(job, out)
    go_on(books, now, out)
