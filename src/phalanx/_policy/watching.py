"""Watching workers at work: items that run too long, that take too much memory, or that shall be stopped.

A worker is looked at when an alarm of its own is due, never otherwise. The look says which item it is at and
since when, and what memory there is; here is decided what follows.
"""

from __future__ import annotations

from phalanx._policy.books import Books
from phalanx._policy.commands import Command, DumpStack, LimitItem, Look, TimeOutItem, WarnOfMemory
from phalanx._policy.deadlines import WEIGH_EVERY
from phalanx._policy.events import WorkerSeen
from phalanx._policy.records import Why, WorkerState
from phalanx._policy.staffing import kill, retire
from phalanx._policy.workers import Held, Worker

__all__ = ["look", "worker_seen"]

# An item that has run too long is asked where it is, and after so many seconds with more insistence (see
# `DumpStack`); after as long again its worker is killed. An answer takes a millisecond, and some ten where every
# processor is busy.
LAST_WORDS = 0.03
TIMES_ASKED = 2

AT_WORK = (WorkerState.READY, WorkerState.RETIRING)


def look(books: Books, worker: Worker, now: float, out: list[Command]) -> None:
    """The worker's alarm is due: ask which item it is at, since when."""
    worker.alarm = None
    if worker.state not in AT_WORK:
        return
    timeouts = [held.job.timeout for held in worker.held if held.done < held.end]
    pauses = [timeout for timeout in timeouts if timeout is not None]
    if books.weighs and worker.load:
        pauses.append(WEIGH_EVERY)
    if pauses:
        books.alarms.watch(worker, now + min(pauses))
    if pauses or books.weighs:
        books.questions.append(Look(worker.id))


def worker_seen(books: Books, event: WorkerSeen, now: float, out: list[Command]) -> None:
    """What the look showed."""
    if event.free is not None:
        note_free(books, event.free, out)
    worker = books.workers.get(event.worker)
    if worker is None or worker.state not in AT_WORK:
        return
    found = None if event.seq is None else worker.at(event.seq)
    if found is not None and event.seq is not None:
        judge_item(books, worker, event, event.seq, found, now, out)
    if event.rss is not None and worker.state is WorkerState.READY:
        limit = books.config.max_memory
        if limit is not None and event.rss > limit:
            # Quietly, and between items: what it has not begun goes to others.
            retire(books, worker, out)
            books.take_back(worker, 0 if event.seq is None else event.seq + 1)


def judge_item(
    books: Books,
    worker: Worker,
    event: WorkerSeen,
    seq: int,
    found: tuple[Held, int],
    now: float,
    out: list[Command],
) -> None:
    """The item runs: may it go on?"""
    held, place = found
    if event.since is not None or worker.running != seq:
        worker.running_since = now if event.since is None else event.since
    worker.running = seq
    index = held.batch.start + place
    limit, rss = books.config.memory_limit, event.rss
    if index in held.job.doomed:
        kill(books, worker, Why.CANCELLED, out)
    elif limit is not None and rss is not None and rss > limit:
        kill(books, worker, Why.OVER_LIMIT, out)
        tries = held.job.close_attempts(index)
        settle(books, held, place, LimitItem(held.job.id, index, worker.id, rss, tries), out)
    elif held.job.timeout is not None:
        mind_the_time(books, worker, held, place, now, out)


def mind_the_time(
    books: Books, worker: Worker, held: Held, place: int, now: float, out: list[Command]
) -> None:
    """The item has until its timeout, and a moment more to say where it is."""
    deadline = worker.running_since + (held.job.timeout or 0.0)
    if now < deadline:
        books.alarms.watch(worker, deadline)
    elif worker.questioned != worker.running or (now >= worker.answer_due and worker.questions < TIMES_ASKED):
        worker.questions = 1 if worker.questioned != worker.running else worker.questions + 1
        worker.questioned = worker.running
        worker.answer_due = now + LAST_WORDS
        out.append(DumpStack(worker.id, again=worker.questions > 1))
        books.alarms.watch(worker, worker.answer_due)
    elif now >= worker.answer_due:
        # The order matters if something strikes between the two: an item whose worker is being killed goes
        # again, but a worker whose item is settled would run on for ever.
        kill(books, worker, Why.TIMED_OUT, out)
        index = held.batch.start + place
        tries = held.job.close_attempts(index)
        settle(books, held, place, TimeOutItem(held.job.id, index, worker.id, tries), out)
    else:
        books.alarms.watch(worker, worker.answer_due)


def settle(books: Books, held: Held, place: int, outcome: Command, out: list[Command]) -> None:
    """This is the item's outcome, unless it has one."""
    if not held.void and not held.is_apart(place):
        out.append(outcome)
        held.set_apart(place)
        held.job.settled += 1
        books.finish_if_done(held.job, out)


def note_free(books: Books, free: int, out: list[Command]) -> None:
    """While memory is short items run one at a time: what is sent and not begun is taken back."""
    was, books.scarce = books.scarce, free < books.config.memory_floor
    if books.scarce and not was:
        out.append(WarnOfMemory(free))
        for worker in books.workers.values():
            if worker.load > 1:
                books.take_back(worker, 0)
