"""What a pool or executor has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the pool was made.

    Attributes:
        items: Items that have come back from workers.
        seconds: What workers have spent on them, all together, rebuilding and pickling included.
        batches: Messages that these items travelled in.
        bytes_in: What was sent to workers: functions and arguments, as pickles, shared memory included.
        bytes_out: What came back from them, likewise.
        lent_in, lent_out: The parts of these that lay in shared memory, and were written there once.
        lost: Items whose worker died.
        stopped: Items that were stopped at their timeout or memory limit.
        retried: Tries after the first.
    """

    items: int = 0
    seconds: float = 0.0
    batches: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    lent_in: int = 0
    lent_out: int = 0
    lost: int = 0
    stopped: int = 0
    retried: int = 0

    @property
    def bytes_per_item(self) -> float:
        """How much data is moved for an item, there and back."""
        return (self.bytes_in + self.bytes_out) / self.items if self.items else 0.0

    @property
    def seconds_per_item(self) -> float:
        """How long a worker takes for an item: if copying its bytes takes as long, moving is half of the work."""
        return self.seconds / self.items if self.items else 0.0


Stats.__module__ = "phalanx"
