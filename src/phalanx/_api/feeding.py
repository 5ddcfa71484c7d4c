"""Reading a user's iterator ahead of the consumer, on a thread of its own.

So a slow iterator delays no result, and one that waits for a result cannot wait for ever. What it raises ends
its own call only, after everything that it gave before.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phalanx._engine.waiting import wake

if TYPE_CHECKING:
    from phalanx._api.session import Session
    from phalanx._engine.jobs import Job, WindowSource


class Feeder:
    """Pulls the items of one job, as far ahead as the job's window allows."""

    def __init__(
        self, session: Session, items: Iterable[Any], source: WindowSource, group: int | None
    ) -> None:
        """`group`: hand on so many items at a time, and drop a group during which the iterator raises, as
        the standard library's `imap` does with its chunks."""
        self._session = session
        self._items = items
        self._source = source
        self._group = group or 1
        self._allowed = 0
        self._bell = threading.Lock()
        self._bell.acquire()
        self._pulled = 0
        self._stopped = False
        self.error: BaseException | None = None
        """What the iterator raised, or why it was not read to its end."""

    def allow(self, upto: int) -> None:
        """Items below `upto` may be pulled; called under the engine's lock."""
        self._allowed = max(self._allowed, upto)
        wake(self._bell)

    def stop(self, why: BaseException | None = None) -> None:
        """Pull no more."""
        if not self._stopped:
            self.error = self.error or why
            self._stopped = True
        wake(self._bell)

    def start(self, job: Job) -> None:
        """Begin to pull, in the caller's context."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, job), name="phalanx-feeder", daemon=True).start()

    def _run(self, job: Job) -> None:
        try:
            self._pull(job)
        except BaseException as error:
            self.error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            self._items = ()
        if not self._stopped:
            self._session.seal(job, self._pulled)

    def _pull(self, job: Job) -> None:
        source, group = self._source, self._group
        partial: list[Any] = []
        for item in self._items:
            if self._stopped:
                return
            if group == 1:
                source.append(item)
                self._pulled += 1
                item = None  # or the last one would be kept while the iterator waits
            else:
                partial.append(item)
                if len(partial) < group:
                    continue
                source.extend(partial)
                self._pulled += group
                partial = []
            self._session.grow(job, self._pulled)
            while self._pulled >= self._allowed and not self._stopped:
                self._session.arm()
                self._bell.acquire()
        source.extend(partial)
        self._pulled += len(partial)
