"""What has come back of a job: the one record that results and reconciliation are both read from.

Pure data. Every change is one assignment that may be repeated: a message that is dealt with twice, because
an exception struck while it was dealt with first, changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Besides the forms of the wire: outcomes made here (a lost worker, a cancelled item), by a function of the index.
LOCAL = 2
# And values that were rebuilt already.
VALUES = 3


class Segment:
    """Outcomes of the items `start` to `stop - 1`, still packed."""

    __slots__ = ("body", "form", "pid", "start", "stop", "taken")

    def __init__(self, start: int, stop: int, form: int, body: Any, pid: int = 0) -> None:
        self.start = start
        self.stop = stop
        self.form = form
        self.body = body
        self.pid = pid
        self.taken = False


class Arrivals:
    """Segments by their first index. Below `base` everything has arrived and been taken.

    Whoever takes does so without the engine's lock, and moves `base` before a part goes. So whoever reads both
    reads the parts first: what is not among them any more is below the base by then.
    """

    __slots__ = ("base", "parts")

    def __init__(self) -> None:
        self.base = 0
        self.parts: dict[int, Segment] = {}

    def add(self, segment: Segment) -> None:
        """Record a segment, unless it is known already."""
        if segment.start >= self.base:
            self.parts.setdefault(segment.start, segment)
            if segment.start < self.base:  # the one that was there has been taken in this very moment
                self.parts.pop(segment.start, None)

    def take(self, segment: Segment) -> None:
        """The segment's outcomes are with the user: forget all but that they came."""
        segment.taken = True
        segment.body = None
        while (part := self.parts.get(self.base)) is not None and part.taken:
            self.base = part.stop
            self.parts.pop(part.start, None)

    def replace(self, segment: Segment, form: int, body: Any) -> None:
        """The same outcomes in another form; one store, and nothing if they have been taken."""
        if self.parts.get(segment.start) is segment:
            self.parts[segment.start] = Segment(segment.start, segment.stop, form, body, segment.pid)

    def local(self) -> list[Segment]:
        """Outcomes that were made here and that nobody has taken yet."""
        return [part for part in list(self.parts.values()) if part.form == LOCAL and not part.taken]

    def missing(self, total: int) -> Iterator[tuple[int, int]]:
        """Ranges below `total` that have not arrived."""
        parts = sorted((start, part.stop) for start, part in list(self.parts.items()))
        at = self.base
        for start, stop in parts:
            if start > at:
                yield at, min(start, total)
            at = max(at, stop)
        if at < total:
            yield at, total


def subtract(ranges: Iterator[tuple[int, int]], held: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of `ranges` that lie in none of the `held` ranges."""
    left: list[tuple[int, int]] = []
    held = sorted(held)
    for start, stop in ranges:
        for begin, end in held:
            if end <= start or begin >= stop:
                continue
            if begin > start:
                left.append((start, begin))
            start = max(start, end)
        if start < stop:
            left.append((start, stop))
    return left
