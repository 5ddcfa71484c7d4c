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
        """Called by finalizers: anywhere, so it does not wait for the lock, nor for room in a channel."""
        engine = self._engine
        if engine.released or os.getpid() != self._process or engine.is_mine():
            return
        # Stored by the call that takes it: an exception may strike behind any call.
        taken: list[bool] = []
        try:
            taken.extend(map(engine.lock.acquire, (False,)))
            if taken[0]:
                engine.enter()
                for worker in list(engine.workers.values()):
                    if worker.ready and not worker.held and not worker.stopping:
                        engine.performer.send_notes(worker)
                engine.leave()
        finally:
            if taken and taken[0]:
                engine.lock.release()
