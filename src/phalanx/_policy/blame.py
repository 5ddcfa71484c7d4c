"""Who is to blame when a worker died.

The worker writes the sequence number of each item into its page as it begins it, and what it sent before it
died has been read before we judge. So there are three cases:

- The item begun last has not arrived: it is guilty, and only it. Items before it whose results were lost with
  the worker, and items after it, are innocent and go again.
- The item begun last has arrived, or none was begun: the worker died between items, most likely while it
  decoded the next batch. Nobody is blamed yet. What is left of that batch goes again, each item *alone*: in a
  batch of one, to a worker that holds nothing else and gets nothing else meanwhile.
- A worker dies holding an alone item: that item is guilty, begun or not. Nothing else can have done it.

A worker that we killed ourselves proves nothing about what it held.
"""

from __future__ import annotations

from phalanx._policy.commands import Command, LoseItem
from phalanx._policy.jobs import Job
from phalanx._policy.workers import Held, Worker

__all__ = ["judge", "lose"]


def judge(worker: Worker, current: int | None) -> tuple[tuple[Held, int] | None, Held | None]:
    """Return (the guilty batch and place, or None; the batch whose rest must go alone, or None)."""
    if current is not None:
        begun = worker.at(current)
        if begun is not None:
            held, place = begun
            if held.void or held.is_apart(place):
                return None, None  # it had its outcome already, and its end is explained
            return begun, None
    for held in worker.held:
        span = next(held.left(held.done, held.end), None)
        if span is None:
            continue
        if held.alone:
            return (held, held.done), None
        return None, held
    return None, None


def lose(job: Job, index: int, worker: Worker, out: list[Command]) -> None:
    """Final: the item has cost its worker."""
    job.settled += 1
    job.unwanted.discard(index)
    out.append(LoseItem(job.id, index, worker.id, job.close_attempts(index)))
