"""What is said of a worker to whoever asks how things are going."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker at the moment of asking.

    Attributes:
        slot: 0 to the number of workers - 1. A worker that is replaced and its successor share one for a while.
        pid: Its process; None while it is being started.
        state: "starting", "idle", "running" or "stopping".
        index: The item that it runs, by its place in its call (for submitted calls: in all of them).
        seconds: How long that item has run, to within about a millisecond.
        rss: Bytes of memory that the process has in use, where the system tells.
    """

    slot: int
    pid: int | None
    state: str
    index: int | None = None
    seconds: float | None = None
    rss: int | None = None


WorkerStatus.__module__ = "phalanx"
