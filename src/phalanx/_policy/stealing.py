"""Stealing: nobody idles while another sits on work that it has not begun.

When a worker is idle and nothing is queued, the one that has been silent longest is asked to give back what
it has not started. While it reports regularly it keeps its share, so that it never runs dry waiting for us;
when it has been silent for too long it is inside one long item, and everything behind that item goes.
Every answer is final until the worker reports: what was claimed stays claimed, or is given back, which is
reported. So a worker is not asked again before it has reported or got something new, and no deadline is set when
there is nothing that time could change.

What is about to be done anyway is left alone: giving back costs the thief and its victim a round trip each.
"""

from __future__ import annotations

from itertools import islice

from phalanx._policy.books import Books
from phalanx._policy.commands import Command
from phalanx._policy.workers import Worker

__all__ = ["steal"]

# A worker that gets on reports finished items more often than this: longer silence means a long item.
STUCK = 0.02
# Or twice the time that all it holds should take, and so much more for the way there and back.
SLACK = 0.001
# Seconds of work worth a round trip: twice what one costs with a process on a busy machine.
WORTH = 0.0002
# Workers looked at per event: bounds the cost of an event, whatever the number of workers.
TRIES = 8


def steal(books: Books, now: float, out: list[Command]) -> None:
    """Some are idle: ask those who may have too much."""
    books.steal_at = None
    if books.alones or books.offering() is not None:
        return
    asked = 0
    for worker in list(islice(books.victims.values(), TRIES)):
        stuck_at = worker.seen + patience(worker)
        seq = first_to_take(books, worker, now >= stuck_at)
        if seq is None:
            if books.steal_at is None or stuck_at < books.steal_at:
                books.steal_at = stuck_at
            continue
        del books.victims[worker.id]
        if seq < worker.end_seq():
            books.take_back(worker, seq)
            asked += 1
            if asked >= len(books.idle):
                return


def patience(worker: Worker) -> float:
    """How long the worker may be silent before it must be inside a long item."""
    held = worker.first_left()
    cost = None if held is None else held.job.pace.cost
    return STUCK if cost is None else min(STUCK, 2.0 * worker.load * cost + SLACK)


def first_to_take(books: Books, worker: Worker, is_stuck: bool) -> int | None:
    """From where on to take the worker's items; None: too early to say; `end_seq()`: there is nothing."""
    held, end = worker.first_left(), worker.end_seq()
    if held is None or worker.asked is not None:
        return end
    running = held.batch.seq + held.done
    free = max(running + 1, worker.claimed)
    count = end - free
    if count <= 0:
        return end
    if is_stuck:
        return free
    cost = held.job.pace.cost
    # Of what was shared already no second share is asked for.
    if cost is None or count * cost < WORTH or worker.limited:
        return None
    # The idle ones and the victim share what is left; in the order of the victim, it keeps the front.
    keep = (end - running) // (len(books.idle) + 1)
    return max(free, running + max(1, keep))
