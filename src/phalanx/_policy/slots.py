"""Slots and starts: which places for workers are empty, and whether trying to fill them makes sense.

A slot (0..size-1) outlives its workers. When a worker is on its way out, its successor is started at once,
but gets no work until the predecessor has let go: never do two workers of one slot run items at the same
time.

Starting can fail, and a pool that answers each failure with a new process never stops. So: a failed
initializer, or a second start in a row that ended before it was ready (the first, if none ever was), *halts*
starting. If nobody is left who could work, whatever is outstanding fails, once. The next work makes one new
attempt, with one worker (the *probe*); when it is ready, the rest follow.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from phalanx._policy.workers import COUNTED, Worker

__all__ = ["Slots", "Starts"]


class Slots:
    """The places of a pool, each with a queue of workers: at the front the one that may run items."""

    __slots__ = ("_last", "_vacant", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._vacant = list(range(size))  # heap; may hold slots that are filled or out of range by now
        self._last: dict[int, Worker] = {}

    def first_vacant(self) -> int | None:
        """The lowest slot that wants a worker."""
        while self._vacant:
            slot = self._vacant[0]
            last = self._last.get(slot)
            if slot < self.size and (last is None or last.state not in COUNTED):
                return slot
            heappop(self._vacant)
        return None

    def seat(self, worker: Worker) -> None:
        """Put a worker at the end of its slot's queue."""
        if worker.state in COUNTED and self._vacant and self._vacant[0] == worker.slot:
            heappop(self._vacant)
        ahead = self._last.get(worker.slot)
        self._last[worker.slot] = worker
        worker.ahead = ahead
        if ahead is not None:
            ahead.behind = worker

    def vacate(self, slot: int) -> None:
        """The slot's worker does not fill it any more."""
        heappush(self._vacant, slot)

    def leave(self, worker: Worker) -> Worker | None:
        """Take the worker out of its queue (again, if need be); return who stands behind it."""
        ahead, behind = worker.ahead, worker.behind
        worker.ahead = worker.behind = None
        if ahead is not None:
            ahead.behind = behind
        if behind is not None:
            behind.ahead = ahead
        elif self._last.get(worker.slot) is worker:
            if ahead is None:
                del self._last[worker.slot]
            else:
                self._last[worker.slot] = ahead
        return behind

    def resize(self, size: int) -> None:
        """Have so many slots."""
        self._vacant = list({*self._vacant, *range(self.size, size)})
        heapify(self._vacant)
        self.size = size


class Starts:
    """How starting workers has gone."""

    __slots__ = ("bad", "epoch", "ever", "fruitless", "halted", "not_before", "probe", "probing")

    def __init__(self) -> None:
        self.epoch = 0  # the attempt; failures of workers from an earlier one were told already
        self.bad = 0  # failed starts since the last success
        self.ever = False  # some worker was ready once
        self.fruitless = 0  # ready workers in a row that ended without having finished an item
        self.halted = False  # no new starts ...
        self.not_before = 0.0  # ... until work comes, and not before this
        self.probing = False  # one worker only, until it is ready
        self.probe: int | None = None

    def succeeded(self) -> None:
        """A worker is ready, or has finished an item."""
        self.bad = 0
        self.ever = True
        self.halted = self.probing = False
        self.probe = None

    def retry(self) -> None:
        """Make one new attempt."""
        self.halted = False
        self.probing = True
        self.probe = None
