"""A storm of signals whose handler raises."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from tests.engine.strikes import Struck

SIGNAL = signal.SIGUSR1
LONGEST_CALM = 0.002


class Storm:
    """Sends signals to this thread from another one, each some moment after the last one has struck.

    Nobody knows where in an operation they strike; only `attempt` is exposed to them.
    """

    def __init__(self, seed: int, longest_calm: float = LONGEST_CALM) -> None:
        self.struck = 0
        self._random = random.Random(seed)
        self._longest_calm = longest_calm
        self._exposed = False
        self._over = threading.Event()
        self._again = threading.Semaphore(0)
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._blow, name="storm")

    def __enter__(self) -> Self:
        self._before = signal.signal(SIGNAL, self._strike)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._again.release()
        self._thread.join()
        signal.signal(SIGNAL, self._before)

    def attempt(self, operation: Callable[[], Any]) -> bool:
        """Run this exposed. False if it was struck."""
        self._again.release()
        try:
            self._exposed = True
            operation()
            self._exposed = False
        except Struck:
            return False
        return True

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if self._exposed:
            self._exposed = False
            self.struck += 1
            raise Struck

    def _blow(self) -> None:
        while True:
            self._again.acquire()
            # The wait is the point here: moments are to be spread over what the main thread does.
            if self._over.wait(self._random.uniform(0, self._longest_calm)):
                return
            signal.pthread_kill(self._main, SIGNAL)
