"""Looking again for a moment before sleeping.

To wake a process that sleeps in the kernel on an idle processor costs tens of microseconds, more than a
trivial call; to look again for as long costs nothing that matters, if something does come. So whoever waits
first looks again for up to `SPIN_SECONDS`, but only while that has been worth it: each time nothing came, it is
left out for twice as many waits as before. Between two looks the processor is offered to others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

# Longer than a trivial call takes on the other side, measured on two cores: 60 to 120 microseconds.
SPIN_SECONDS = 0.0002
# A failed try costs SPIN_SECONDS of one processor; after this many waits another one is affordable.
_MOST_LEFT_OUT = 256


class Spin:
    """Decides for one waiting place whether to look again before sleeping, and does."""

    __slots__ = ("_failures", "_left_out", "_look")

    def __init__(self, look: Callable[[int], list[Any]]) -> None:
        """`look(0)` gives what is ready without waiting."""
        self._look = look
        self._failures = 0
        # With one processor the other side could not run meanwhile. And who waits first waits for processes
        # that are just being started, which takes longer, and for which they need every processor.
        self._left_out = 2 if _processors() > 1 else -1

    def look(self) -> list[Any]:
        """What became ready; empty if nothing did, or if trying is not worth it now."""
        if self._left_out:
            self._left_out -= self._left_out > 0
            return []
        look, until = self._look, perf_counter() + SPIN_SECONDS
        while not (ready := look(0)):
            if perf_counter() >= until:
                self._failures += 1
                self._left_out = min(2**self._failures, _MOST_LEFT_OUT)
                return ready
            _offer()
        self._failures = 0
        return ready


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_offer: Callable[[], None] = getattr(os, "sched_yield", lambda: None)
