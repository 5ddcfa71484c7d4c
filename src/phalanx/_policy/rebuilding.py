"""Rebuilding: from facts to sound books, and back.

An exception can strike the engine between an event and the last of its commands (Ctrl-C, a signal handler
that raises). Then the books may speak of a batch that was never sent. The engine knows what really is: which
items have an outcome and what every worker holds. From that new books are made; what was only intended is
forgotten and decided again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from phalanx._policy import cancelling, staffing
from phalanx._policy.assigning import go_on
from phalanx._policy.books import Books
from phalanx._policy.commands import Allow, Command
from phalanx._policy.jobs import Job, JobMove
from phalanx._policy.records import (
    Batch,
    Facts,
    JobFacts,
    JobSpec,
    JobState,
    Mode,
    Why,
    WorkerFacts,
    WorkerState,
)
from phalanx._policy.workers import Held, Worker

__all__ = ["facts_of", "fill"]


def facts_of(books: Books) -> Facts:
    """Everything worth knowing."""
    return Facts(
        replace(books.config, size=books.size),
        [job_facts(books, job) for job in books.jobs.values()],
        [worker_facts(worker) for worker in books.workers.values()],
        books.mode,
        books.next_batch,
        books.next_worker,
    )


def job_facts(books: Books, job: Job) -> JobFacts:
    """What is known of a job."""
    return JobFacts(
        replace(job.spec, total=job.total, sealed=job.state is not JobState.OPEN, window=job.window),
        job.consumed,
        merge(sorted(job.queued_spans())),
        job.state is JobState.CANCELLED,
        job in books.killing,
        dict(job.tries),
        dict(job.crashes),
        sorted(job.alone.union(held.batch.start for held in job.held.values() if held.alone)),
    )


def worker_facts(worker: Worker) -> WorkerFacts:
    """What is known of a worker."""
    held = []
    apart = {}
    for item in worker.held:
        batch = item.batch
        held.append((replace(batch, stop=batch.start + item.end), item.done))
        if item.apart or item.void:
            apart[batch.id] = list(range(item.end)) if item.void else sorted(item.apart or ())
    return WorkerFacts(
        worker.id, worker.slot, worker.state, held, worker.tasks, worker.next_seq, worker.limited, apart
    )


def merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbours."""
    joined: list[tuple[int, int]] = []
    for start, stop in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        elif start < stop:
            joined.append((start, stop))
    return joined


def fill(books: Books, jobs: list[JobFacts], workers: list[WorkerFacts], now: float) -> list[Command]:
    """Enter the facts into empty books; return what they ask for."""
    out: list[Command] = []
    for job_known in jobs:
        add_job(books, job_known)
    alone = {(known.spec.job, index) for known in jobs for index in known.alone}
    for worker_known in sorted(workers, key=lambda known: known.worker):
        if worker_known.state is not WorkerState.GONE:
            add_worker(books, worker_known, alone, now)
    books.starts.ever = books.ready > 0
    for worker in list(books.workers.values()):
        admit(books, worker, now, out)
    for job_known in jobs:
        resume(books, books.jobs[job_known.spec.job], job_known, out)
    go_on(books, now, out)
    return out


def add_job(books: Books, known: JobFacts) -> None:
    """Enter a job; all its items count as settled but those missing (and, later, those held)."""
    job = Job(known.spec, books.size, books.config.target)
    books.jobs[job.id] = job
    job.consumed = known.consumed
    job.widen()
    job.tries.update(known.tries)
    job.crashes.update(known.crashes)
    missing = merge(sorted(known.missing))
    job.settled = job.total - sum(stop - start for start, stop in missing)
    for index in sorted(known.alone):
        if any(start <= index < stop for start, stop in missing):
            job.alone.add(index)
            books.alones.append((job, index))
    queue(job, [span for start, stop in missing for span in without(job.alone, start, stop)])


def without(alone: set[int], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The range less the alone items in it."""
    for index in sorted(index for index in alone if start <= index < stop):
        yield start, index
        start = index + 1
    yield start, stop


def queue(job: Job, spans: list[tuple[int, int]]) -> None:
    """Enter missing items: as returned ones while the window is open for them, beyond as fresh ones."""
    job.next = job.total
    end = 0
    for start, stop in spans:
        if start >= stop:
            continue
        if job.next < job.total:
            job.skip_fresh(end, start)
        elif stop > job.limit or stop == job.total:
            job.next = start
        else:
            job.give_back(start, stop)
        end = stop
    if job.next < job.total:
        job.skip_fresh(end, job.total)


def add_worker(books: Books, known: WorkerFacts, alone: set[tuple[int, int]], now: float) -> None:
    """Enter a worker and what it holds."""
    worker = Worker(known.worker, known.slot, books.starts.epoch, now)
    worker.state = known.state
    worker.tasks = known.sent_tasks
    worker.next_seq = known.next_seq
    worker.limited = known.limited and bool(known.held)
    worker.fruitful = known.next_seq > 0
    books.workers[worker.id] = worker
    books.next_worker = max(books.next_worker, worker.id + 1)
    books.starting += worker.state is WorkerState.STARTING
    books.ready += worker.state is WorkerState.READY
    books.counted = books.starting + books.ready
    if worker.state is not WorkerState.STOPPING:
        books.slots.seat(worker)
    for batch, done in known.held:
        worker.alone = (batch.job, batch.start) in alone and batch.stop - batch.start == 1
        add_held(books, worker, batch, done, known.apart.get(batch.id, []))


def add_held(books: Books, worker: Worker, batch: Batch, done: int, apart: list[int]) -> None:
    """Enter a batch that a worker holds."""
    job = books.jobs.get(batch.job)
    is_void = job is None
    if job is None:  # it has ended; the worker has not said yet that the batch has, too
        job = Job(JobSpec(batch.job, 0, True), books.size, books.config.target)
        job.move(JobMove.FINISH)
    held = Held(batch, job, worker, worker.alone)
    held.done = done
    held.void = is_void
    held.apart = set(apart) or None
    worker.held.append(held)
    worker.load += held.end - done
    books.next_batch = max(books.next_batch, batch.id + 1)
    if not held.void:
        job.held[batch.id] = held
        job.settled -= sum(stop - start for start, stop in held.left(done, held.end))


def admit(books: Books, worker: Worker, now: float, out: list[Command]) -> None:
    """Put a worker to where it belongs by its state and by what it holds."""
    if books.mode is Mode.TERMINATE:
        staffing.kill(books, worker, Why.TERMINATED, out)
        return
    most = books.config.max_tasks_per_child
    timeouts = [held.job.timeout for held in worker.held if held.job.timeout is not None]
    if timeouts:
        books.alarms.watch(worker, now + min(timeouts))
    books.place(worker)
    # Who has a successor was retired before, known to the engine or not.
    is_surplus = worker.slot >= books.size or worker.behind is not None
    if worker.state is WorkerState.STARTING:
        if is_surplus:
            staffing.stop(books, worker, out)
    elif worker.state is WorkerState.READY:
        if is_surplus or (most is not None and worker.tasks >= most):
            staffing.retire(books, worker, out)
    elif worker.state is WorkerState.RETIRING and not worker.held:
        staffing.stop(books, worker, out)
    if worker.state in (WorkerState.READY, WorkerState.RETIRING):
        books.mark_victim(worker)


def resume(books: Books, job: Job, known: JobFacts, out: list[Command]) -> None:
    """Take up a job where it was."""
    if books.mode is Mode.TERMINATE:
        cancelling.terminate_job(books, job, out)
        return
    if known.cancelled or books.mode is Mode.CANCEL_QUEUED:
        cancelling.cancel(books, job, known.kill, out)
        return
    if job.window is not None:
        out.append(Allow(job.id, job.consumed + job.window))
    books.list_job(job)
    books.finish_if_done(job, out)
