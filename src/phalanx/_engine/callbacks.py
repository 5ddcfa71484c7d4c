"""Users' callbacks run on a thread of their own, with no lock and no seat: a slow one delays only others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from phalanx._engine.waiting import wake

# An idle thread is kept this long for the next callback, which would otherwise pay for a new one.
LINGER_SECONDS = 0.05


class Callbacks:
    """Runs what it is given, in order, on at most one thread, which exists only while it is needed."""

    def __init__(self, daemon: bool) -> None:
        self._daemon = daemon
        self._queue: deque[Callable[[], Any]] = deque()
        # Reentrant: a collection in here may call a `__del__` that submits.
        self._starting = threading.RLock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._thread: threading.Thread | None = None

    def call(self, callback: Callable[[], Any]) -> None:
        """Run this soon. It must not raise."""
        self._queue.append(callback)
        self.ensure()

    def ensure(self) -> None:
        """Make sure that a thread is there for what is queued."""
        if not self._queue or self._starting._is_owned():  # type: ignore[attr-defined]
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="phalanx-callbacks", daemon=self._daemon
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is ending; see `finish`
                    self._thread = None
        wake(self._bell)

    def finish(self) -> None:
        """Wait until all callbacks have run and the thread has ended, unless this is a callback."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if thread is None:
            self._run_queued()

    def _run_queued(self) -> None:
        while self._queue:
            self._queue.popleft()()

    def _run(self) -> None:
        while True:
            self._run_queued()
            if self._bell.acquire(timeout=LINGER_SECONDS):
                continue
            with self._starting:
                if not self._queue:
                    self._thread = None
                    return
