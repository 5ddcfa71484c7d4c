"""Things that a thread can wait for: futures, results, jobs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic


class Waitable:
    """Becomes done once. A waiting thread sleeps on a lock of its own, in the kernel.

    Both sides may be struck by an exception anywhere: `is_done` is stored before anybody is woken, and a
    sleeper puts up its lock before it looks at `is_done` for the last time.
    """

    _sleepers: deque[threading.Lock] | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        raise NotImplementedError

    def wake_sleepers(self) -> None:
        """Wake whoever waits. `is_done` has been set."""
        sleepers = self._sleepers
        while sleepers:
            try:
                lock = sleepers.popleft()
            except IndexError:
                return  # another thread woke the last one
            wake(lock)

    def block(
        self,
        until: float | None,
        lock: threading.Lock | None = None,
        or_when: Callable[[], bool] = lambda: False,
        just_before: Callable[[], object] = lambda: None,
    ) -> None:
        """Block until done, until somebody else releases `lock`, or until this moment of the monotonic clock.

        `or_when` and `just_before` are called after the lock is up where it is found: whether there is
        another reason not to sleep, and what to do then.
        """
        if lock is None:
            lock = threading.Lock()
            lock.acquire()
        if self._sleepers is None:
            self._sleepers = deque()
        self._sleepers.append(lock)
        if self.is_done or or_when():
            return
        just_before()
        if until is None:
            lock.acquire()
        else:
            lock.acquire(timeout=max(0.0, until - monotonic()))


def wake(lock: threading.Lock) -> None:
    """Release a lock that is used as a bell; ringing twice is ringing once."""
    try:
        lock.release()
    except RuntimeError:
        return
