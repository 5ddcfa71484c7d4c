"""How many items to send at once.

A batch should be about `target` seconds of work: long enough that what a batch costs the parent (tens of
microseconds) does not matter, short enough that workers end together. The only honest source for what an item
costs is the worker's own clock, so the first batch is one item and the next may be at most GROWTH times what
was really timed: a first item that happens to be cheap must not commit the whole job.
"""

from __future__ import annotations

__all__ = ["GROWTH", "Pace"]

# From architecture.md: 1, 32, 1024, 32768 reaches any useful size in three round trips.
GROWTH = 32
# Older batches fade: about the last ten count. Shorter memory makes skewed jobs swing, longer is slow to
# notice a change; nothing between 0.8 and 0.95 made a difference in the simulation of more than a per cent.
FADE = 0.9
# Unmeasured items and clocks too coarse to see a batch: as if an item took this long.
SHORTEST = 1e-9


class Pace:
    """What an item of one job costs, as measured, and the batch size that follows from it."""

    __slots__ = ("largest", "items", "seconds", "target", "want")

    def __init__(self, target: float) -> None:
        self.target = target
        self.items = 0.0
        self.seconds = 0.0
        self.largest = 0  # items in the largest batch timed so far
        self.want = 1  # how many items make a batch of `target` seconds, as far as is known

    def learn(self, items: int, seconds: float, batch: int) -> None:
        """`items` more arrived after `seconds` more of a worker's time, `batch` of their batch by now."""
        self.items = known = self.items * FADE + items
        self.seconds = spent = self.seconds * FADE + (seconds if seconds > 0.0 else 0.0)
        if batch > self.largest:
            self.largest = batch
        want = int(self.target * known / (spent + SHORTEST))
        cap = self.largest * GROWTH
        self.want = 1 if want < 1 else cap if want > cap else want

    @property
    def cost(self) -> float | None:
        """Seconds that an item takes, or None when none was timed."""
        return self.seconds / self.items if self.items else None
