"""Counting what an engine moves and does: a few additions for each batch, read by whoever asks."""

from __future__ import annotations

from phalanx._base.statistics import Stats


class Tally:
    """Changed under the engine's lock."""

    __slots__ = ("bytes_in", "bytes_out", "items", "lent_in", "lost", "nanoseconds", "retried", "stopped")

    def __init__(self) -> None:
        self.items = self.nanoseconds = self.bytes_in = self.bytes_out = self.lent_in = 0
        self.lost = self.stopped = self.retried = 0

    def stats(self, batches: int) -> Stats:
        """What has been counted by now."""
        return Stats(
            items=self.items,
            seconds=self.nanoseconds / 1e9,
            batches=batches,
            bytes_in=self.bytes_in + self.lent_in,
            bytes_out=self.bytes_out,
            lent_in=self.lent_in,
            lost=self.lost,
            stopped=self.stopped,
            retried=self.retried,
        )
