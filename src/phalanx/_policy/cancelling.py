"""Cancelling: jobs, single items, and whole pools."""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.commands import Command, Look
from phalanx._policy.events import CancelAsked, CloseAsked, JobCancelled, TookBack
from phalanx._policy.jobs import Job, JobMove
from phalanx._policy.records import JobState, Mode, Why
from phalanx._policy.staffing import kill
from phalanx._policy.workers import Held, Worker

__all__ = ["cancel_asked", "close_asked", "job_cancelled", "kill_if_unwanted", "took_back"]

MODES = {None: 0, Mode.DRAIN: 1, Mode.CANCEL_QUEUED: 2, Mode.TERMINATE: 3}


def job_cancelled(books: Books, event: JobCancelled, now: float, out: list[Command]) -> None:
    """Drop what has not started; kill what runs, if asked."""
    job = books.jobs.get(event.job)
    if job is not None:
        cancel(books, job, event.kill, out)


def cancel(books: Books, job: Job, with_kill: bool, out: list[Command]) -> None:
    """Nothing more of this job may start."""
    if job.state is not JobState.CANCELLED:
        job.move(JobMove.CANCEL)
        drop_queue(books, job, out)
        for held in list(job.held.values()):
            if held.done < held.end:
                books.take_back(held.worker, held.batch.seq + held.done)
    if with_kill:
        books.killing.add(job)
        for held in list(job.held.values()):
            kill_if_unwanted(books, held.worker, out)
    books.finish_if_done(job, out)


def drop_queue(books: Books, job: Job, out: list[Command]) -> None:
    """Drop everything that no worker holds."""
    spans = sorted(job.queued_spans())
    job.clear_queue()
    books.forget_stale_alones()
    for start, stop in spans:
        books.drop(job, start, stop, out)


def kill_if_unwanted(books: Books, worker: Worker, out: list[Command]) -> None:
    """Kill the worker if what it is at belongs to a job whose running items are to be killed.

    Not while a TakeBack is open: its answer may show that the item never began.
    """
    first = worker.first_left()
    if first is not None and first.job in books.killing and worker.asked is None:
        kill(books, worker, Why.CANCELLED, out)


def cancel_asked(books: Books, event: CancelAsked, now: float, out: list[Command]) -> None:
    """Drop one item if it is queued; ask its worker for it if it was sent."""
    job = books.jobs.get(event.job)
    if job is None or (job.state is JobState.CANCELLED and not event.kill):
        return
    index = event.index
    if job.drop_queued(index):
        books.forget_stale_alones()
        books.drop(job, index, index + 1, out)
        books.finish_if_done(job, out)
        return
    for held in job.held.values():
        place = index - held.batch.start
        if held.done <= place < held.end and not held.is_apart(place):
            job.unwanted.add(index)
            if event.kill:
                job.doomed.add(index)
            books.take_back(held.worker, held.batch.seq + place)
            return


def took_back(books: Books, event: TookBack, now: float, out: list[Command]) -> None:
    """What a worker will not start goes back to its jobs."""
    worker = books.workers.get(event.worker)
    # Without an open question this is a repetition; what it says may be about items that were sent again
    # since.
    if worker is None or worker.asked is None:
        return
    if event.seq > worker.asked:
        worker.claimed = max(worker.claimed, event.seq)
    worker.asked = None
    for held in worker.held:
        shorten(books, held, event.seq, out)
    books.mark_victim(worker)
    if worker.claimed >= worker.end_seq():
        books.victims.pop(worker.id, None)
    books.place(worker)
    if books.killing:
        kill_if_unwanted(books, worker, out)


def shorten(books: Books, held: Held, seq: int, out: list[Command]) -> None:
    """Take the places at `seq` and above from a batch; those below have begun, or will."""
    end = max(held.done, min(held.end, seq - held.batch.seq))
    job = held.job
    if end < held.end:
        worker = held.worker
        worker.limited = True
        worker.load -= held.end - end
        worker.tasks -= -(-held.end // job.task_size) + (-end // job.task_size)
        spans = list(held.left(end, held.end))
        held.end = end
        for start, stop in spans:
            books.requeue(job, start, stop, out)
        books.finish_if_done(job, out)
    if job.unwanted:
        for start, stop in held.left(held.done, held.end):
            job.unwanted.difference_update(set(range(start, stop)) - job.doomed)
        if job.doomed:
            books.questions.append(Look(held.worker.id))


def close_asked(books: Books, event: CloseAsked, now: float, out: list[Command]) -> None:
    """The pool shall end."""
    if MODES[event.mode] <= MODES[books.mode]:
        return
    books.mode = event.mode
    for job in list(books.jobs.values()):
        if event.mode is Mode.CANCEL_QUEUED:
            cancel(books, job, False, out)
        elif event.mode is Mode.TERMINATE:
            terminate_job(books, job, out)
    if event.mode is Mode.TERMINATE:
        for worker in list(books.workers.values()):
            kill(books, worker, Why.TERMINATED, out)


def terminate_job(books: Books, job: Job, out: list[Command]) -> None:
    """Drop everything of the job, what runs included."""
    drop_queue(books, job, out)
    for held in job.held.values():
        for start, stop in held.left(held.done, held.end):
            books.drop(job, start, stop, out)
        held.void = True
    job.held.clear()
    if job.state is not JobState.CANCELLED:
        job.move(JobMove.CANCEL)
    books.finish_if_done(job, out)
