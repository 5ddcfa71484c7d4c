"""The small thread that looks after a worker whose main thread is kept busy by one item.

A main thread that gets on sends outcomes itself. When it has been inside one item for some time, this thread
sends the outcomes that are ready, and gives back the claim on items that have not begun, so that the parent
can take them to another worker. It sleeps in the kernel while no batch of several items runs: `armed` says
whether it ticks, and the main thread pays one lock operation to arm it, at most once per idle spell.

Each tick takes the interpreter's lock from a main thread that computes, which was measured to cost it up to a
millisecond. So while the main thread gets on, ticks become rarer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic_ns

# After so long inside one item the main thread needs looking after.
STUCK_SECONDS = 0.0025
# The first tick, and the longest: a finished result waits for a long item at most so long (and until the
# interpreter's lock is to be had, 5 ms more).
TICK_SECONDS = 0.0025
LONGEST_TICK_SECONDS = 0.02


class Flusher:
    """Calls `look()` when `since()` tells that the main thread has been inside one item for long."""

    def __init__(self, look: Callable[[], None], since: Callable[[], int]) -> None:
        """`since()`: when the main thread last got on, in nanoseconds of the monotonic clock."""
        self._look = look
        self._since = since
        self._bell = threading.Lock()
        self._bell.acquire()
        self._never = threading.Lock()
        self._never.acquire()
        self._armed = False
        self._thread: threading.Thread | None = None
        self._closed = False
        self.batch = 0
        """Number of the batch that the main thread runs, 0 while it runs none that needs looking after."""

    def watch(self, batch: int) -> None:
        """The main thread begins a batch that may need looking after."""
        self.batch = batch
        if not self._armed:
            self._armed = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="phalanx-flusher", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending
                    self._thread, self._armed = None, False
                    return
            self._bell.release()

    def close(self) -> None:
        """End the thread. No batch runs, and none will."""
        self._closed = True
        thread = self._thread
        if thread is not None:
            if not self._armed:
                self._bell.release()
            thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._bell.acquire()
            self._tick_while_busy()

    def _tick_while_busy(self) -> None:
        tick, looked_at = TICK_SECONDS, 0
        while True:
            self._never.acquire(timeout=tick)
            since = self._since()
            if self.batch == 0:
                self._armed = False
                if self.batch == 0 or self._armed:
                    return
                self._armed = True
            elif since != looked_at and monotonic_ns() - since >= STUCK_SECONDS * 1e9:
                self._look()
                looked_at = since
            tick = min(2 * tick, LONGEST_TICK_SECONDS)
