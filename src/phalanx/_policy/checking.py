"""Checking: what it means that the books are sound. Every rule here is one that a bug has to break first."""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.jobs import Job
from phalanx._policy.records import JobState, Mode, PolicyError, WorkerState
from phalanx._policy.workers import Held, Worker

__all__ = ["check"]

AT_WORK = (WorkerState.READY, WorkerState.RETIRING)


def demand(truth: bool, story: str, *things: object) -> None:
    """Raise with the story unless it is true."""
    if not truth:
        raise PolicyError(f"{story}: {', '.join(map(repr, things))}")


def check(books: Books) -> None:
    """Raise `PolicyError` for the first broken rule."""
    for worker in books.workers.values():
        check_worker(books, worker)
    check_counts(books)
    for job in books.jobs.values():
        check_job(books, job)
    check_queues(books)
    check_liveness(books)


def check_worker(books: Books, worker: Worker) -> None:
    """What it holds is in order, and it stands in the sets where it belongs."""
    demand(worker.state is not WorkerState.GONE, "a worker that has ended is still here", worker)
    demand(worker.load == sum(held.end - held.done for held in worker.held), "wrong load", worker)
    demand(len(worker.held) <= books.prefetch, "too many batches", worker)
    demand(len(worker.held) == 1 or not any(held.alone for held in worker.held), "alone in company", worker)
    seq = None
    for held in worker.held:
        size = held.batch.stop - held.batch.start
        demand(0 <= held.done <= held.end <= size, "batch out of bounds", worker)
        demand(seq is None or seq <= held.batch.seq, "sequence numbers overlap", worker)
        seq = held.batch.seq + size
    demand(seq is None or seq <= worker.next_seq, "sequence numbers run backwards", worker)
    if worker.state in (WorkerState.STARTING, WorkerState.STOPPING):
        demand(not worker.held, "holds work in a state without work", worker)
    demand(worker.state is not WorkerState.RETIRING or bool(worker.held), "retired and has not left", worker)
    check_place(books, worker)


def check_place(books: Books, worker: Worker) -> None:
    """`idle`, `partial` and `victims` are what they say."""
    is_free = worker.state is WorkerState.READY and len(worker.held) < books.prefetch and worker.ahead is None
    is_free = is_free and not worker.limited and not worker.alone and worker.asked is None
    demand((worker.id in books.idle) == (is_free and not worker.held), "wrong about idle", worker)
    demand((worker.id in books.partial) == (is_free and bool(worker.held)), "wrong about partial", worker)
    if worker.id in books.victims:
        demand(worker.state in AT_WORK and worker.load > 1, "no such victim", worker)


def check_counts(books: Books) -> None:
    """Totals agree with what they count."""
    states = [worker.state for worker in books.workers.values()]
    demand(books.starting == states.count(WorkerState.STARTING), "wrong count of starting", books.starting)
    demand(books.ready == states.count(WorkerState.READY), "wrong count of ready", books.ready)
    demand(books.counted == books.starting + books.ready, "wrong count of both", books.counted)
    demand(books.counted <= books.size, "more workers than wanted", books.counted, books.size)
    slots = [worker.slot for worker in books.workers.values() if worker.state in AT_WORK and worker.held]
    demand(len(slots) == len(set(slots)), "two workers of one slot at work", slots)
    for name in (books.idle, books.partial, books.victims):
        demand(name.keys() <= books.workers.keys(), "a set holds the dead", name)
    hungry = bool(books.idle) or (bool(books.partial) and not books.alones)
    demand(books.hungry == hungry, "wrong about hungry", books.hungry)


def check_job(books: Books, job: Job) -> None:
    """Every item is in exactly one place."""
    spans = list(job.queued_spans())
    for held in job.held.values():
        demand(held in held.worker.held and held.job is job and not held.void, "held by nobody", held, job)
        spans.extend(held.left(held.done, held.end))
    spans.sort()
    end = 0
    for start, stop in spans:
        demand(end <= start < stop <= job.total, "an item in two places", job, spans)
        end = stop
    missing = sum(stop - start for start, stop in spans)
    demand(job.settled + missing == job.total, "items lost or counted twice", job, spans)
    demand(not job.is_done, "done and not finished", job)
    demand(job.state is not JobState.CANCELLED or not list(job.queued_spans()), "cancelled and queued", job)
    demand(job.listed == (job in books.turn), "wrong about being listed", job)
    demand(job.listed or not job.offers(), "offers and is not listed", job)
    back = sum(stop - start for start, stop in job.returned) + len(job.singles)
    demand(back == job.back, "wrong count of what came back", job)
    if job.window is not None:
        given = [stop for start, stop in job.returned] + [held.batch.stop for held in job.held.values()]
        demand(max(given, default=0) <= job.consumed + job.window, "beyond the window", job)


def check_queues(books: Books) -> None:
    """Nobody idles while there is work for him."""
    demand(len(books.turn) == len(set(map(id, books.turn))), "listed twice", books.turn)
    waiting = {(job.id, index) for job in books.jobs.values() for index in job.alone}
    queued = {(job.id, index) for job, index in books.alones}
    demand(waiting <= queued, "an alone item that nobody will send", waiting, queued)
    offering = [job for job in books.jobs.values() if job.offers()]
    if books.scarce and any(worker.load for worker in books.workers.values()):
        return
    demand(not (books.idle and waiting), "idle while an alone item waits", waiting)
    demand(not (books.hungry and offering), "idle while there is work", offering)


def check_liveness(books: Books) -> None:
    """Where there is work there is somebody, on his way at least."""
    offering = any(job.offers() or job.alone for job in books.jobs.values())
    if offering and books.size > 0:
        demand(books.mode is not Mode.TERMINATE, "work after the end", books.jobs)
        is_pausing = books.starts.halted  # then the next attempt has its deadline
        demand(books.counted > 0 or is_pausing, "work and nobody to do it", books.jobs, books.workers)
    for job in books.jobs.values():
        for held in job.held.values():
            demand(held_alive(books, held), "held by a dead worker", held)


def held_alive(books: Books, held: Held) -> bool:
    """The worker of the batch is known."""
    return books.workers.get(held.worker.id) is held.worker
