"""Deadlines: what must happen although nobody reports anything.

One heap for all. An entry is not removed when it loses its meaning; it is recognised as stale when it comes
up (the owner holds the time that counts). A pool with nothing to wait for has no deadline at all, so that an
idle engine sleeps.
"""

from __future__ import annotations

from heapq import heappop, heappush

from phalanx._policy.jobs import Job
from phalanx._policy.workers import Worker

__all__ = ["LONGEST_PAUSE", "WEIGH_EVERY", "Alarms"]

# Doubling would soon mean days.
LONGEST_PAUSE = 3600.0
# How often (seconds) a worker is weighed while an item runs and its memory is limited.
WEIGH_EVERY = 0.1


class Alarms:
    """Times at which a worker is to be looked at or an item tried again."""

    __slots__ = ("_count", "_heap", "_state")

    def __init__(self, seed: int) -> None:
        self._heap: list[tuple[float, int, Worker | tuple[Job, int]]] = []
        self._count = 0  # breaks ties, so that owners are never compared
        self._state = (seed * 2 + 1) & 0xFFFFFFFF

    def _push(self, when: float, owner: Worker | tuple[Job, int]) -> None:
        self._count += 1
        heappush(self._heap, (when, self._count, owner))

    def watch(self, worker: Worker, when: float) -> None:
        """Look at the worker then, or earlier if that was asked before."""
        if worker.alarm is None or when < worker.alarm:
            worker.alarm = when
            self._push(when, worker)

    def retry(self, job: Job, index: int, now: float) -> None:
        """Try the item again after the job's pause: doubled with every try, and up to half more or less."""
        tries = min(job.tries.get(index, 1), 64)
        pause = min(job.spec.backoff * 2.0 ** (tries - 1), LONGEST_PAUSE)
        job.waiting.add(index)
        self._push(now + pause * (0.5 + self._chance()), (job, index))

    def _chance(self) -> float:
        """A number in 0..1, by Numerical Recipes' generator: jitter must differ between pools, no more."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self._state / 0x1_0000_0000

    def first(self) -> float | None:
        """The time of the first alarm that still means something."""
        while self._heap:
            when, _, owner = self._heap[0]
            if not is_stale(when, owner):
                return when
            heappop(self._heap)
        return None

    def due(self, now: float) -> Worker | tuple[Job, int] | None:
        """Take the next owner whose time has come."""
        when = self.first()
        return None if when is None or when > now else heappop(self._heap)[2]


def is_stale(when: float, owner: Worker | tuple[Job, int]) -> bool:
    """The alarm was for something that has ended or was set anew."""
    if isinstance(owner, Worker):
        return owner.alarm != when
    job, index = owner
    return index not in job.waiting
