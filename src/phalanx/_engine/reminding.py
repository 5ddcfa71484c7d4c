"""Telling idle workers what is returned to them, when that is much; otherwise it goes with their next batch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from phalanx._memory import listen

if TYPE_CHECKING:
    from phalanx._engine.engine import Engine


class Reminder:
    """Of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._process = os.getpid()
        listen(self)

    def remind(self) -> None:
        """Called by finalizers: anywhere, so it does not wait for the lock, nor for room in a channel.

        Who holds the lock does it before he lets go; if he was about to, whoever drives, or will have to.
        """
        engine = self._engine
        if engine.released or os.getpid() != self._process:
            return
        engine.is_reminded = True
        if engine.is_mine():
            return
        # Stored by the call that takes it: an exception may strike behind any call.
        taken: list[bool] = []
        try:
            taken.extend(map(engine.lock.acquire, (False,)))
            if taken[0]:
                engine.enter()
                engine.leave()
        finally:
            if taken and taken[0]:
                engine.lock.release()
