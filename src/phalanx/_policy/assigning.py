"""Assigning: work meets workers. The only place that sends batches."""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.commands import Command, SendBatch
from phalanx._policy.deadlines import WEIGH_EVERY
from phalanx._policy.jobs import Job
from phalanx._policy.records import Batch
from phalanx._policy.staffing import retire, staff_up, wind_down
from phalanx._policy.stealing import steal
from phalanx._policy.workers import Held, Worker

__all__ = ["assign", "go_on"]

# A batch that nothing limits; any number that no job reaches.
NO_LIMIT = 1 << 62


def go_on(books: Books, now: float, out: list[Command]) -> None:
    """After the facts changed: do everything that they now allow."""
    if books.hungry:
        assign(books, now, out)
    if books.counted < books.size:
        staff_up(books, now, out)
    if books.idle and books.victims:
        steal(books, now, out)
    if books.mode is not None and books.counted and not books.jobs:
        wind_down(books, out)


def assign(books: Books, now: float, out: list[Command]) -> None:
    """Give out batches while there is work and someone to take it."""
    while books.hungry:
        if books.scarce and any(worker.load for worker in books.workers.values()):
            return
        if books.alones:
            job, index = books.alones.popleft()
            job.alone.remove(index)
            send(books, books.idle.popitem()[1], job, index, index + 1, True, now, out)
            books.forget_stale_alones()
            continue
        offering = books.offering()
        if offering is None:
            return
        job = offering
        worker = (books.idle or books.partial).popitem()[1]
        start, stop = job.cut(allowance(books, worker, job), books.shares)
        send(books, worker, job, start, stop, False, now, out)
        # Its turn is over, and the next begins behind the others'.
        if len(books.turn) > 1:
            books.turn.rotate(-1)


def allowance(books: Books, worker: Worker, job: Job) -> int:
    """How many items of the job the worker may get before it is due for replacement."""
    if books.scarce:
        return 1
    most = books.config.max_tasks_per_child
    return NO_LIMIT if most is None else (most - worker.tasks) * job.task_size


def send(
    books: Books, worker: Worker, job: Job, start: int, stop: int, alone: bool, now: float, out: list[Command]
) -> None:
    """Send one batch and note everything that follows from it."""
    batch = Batch(books.next_batch, job.id, start, stop, worker.next_seq)
    books.next_batch += 1
    count = stop - start
    worker.next_seq += count
    if not worker.held:
        worker.seen = now
    held = Held(batch, job, worker, alone)
    worker.held.append(held)
    job.held[batch.id] = held
    worker.load += count
    if worker.load > 1:
        books.victims[worker.id] = worker
    worker.alone = alone
    if job.timeout is not None:
        books.alarms.watch(worker, now + job.timeout)
    if books.weighs:
        books.alarms.watch(worker, now + WEIGH_EVERY)
    out.append(SendBatch(worker.id, batch))
    most = books.config.max_tasks_per_child
    if most is not None:
        worker.tasks += -(-count // job.task_size)
        if worker.tasks >= most:
            retire(books, worker, out)
            return
    books.place(worker)
