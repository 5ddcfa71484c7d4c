"""Looking into a pool at work: what every worker does, and where it is."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from phalanx._base.statistics import Stats
from phalanx._base.status import WorkerStatus
from phalanx._engine.waiting import Waitable
from phalanx._platform import memory
from phalanx._platform.asking import LOOK_AFTER, StackRequest
from phalanx._platform.stacks import tell

if TYPE_CHECKING:
    from phalanx._api.session import Session
    from phalanx._engine.workers import Worker


class Inspectable:
    """What a pool and an executor tell of their workers."""

    def _inspected(self) -> Session | None:
        """The session, if there is one by now."""
        raise NotImplementedError

    def status(self) -> list[WorkerStatus]:
        """What every worker does just now, by slot: item, seconds, memory.

        Example:
            >>> from phalanx import Pool
            >>> with Pool(2) as pool:
            ...     pool.map(abs, [-1, 2])
            ...     [worker.slot for worker in pool.status()]
            [1, 2]
            [0, 1]
        """
        session = self._inspected()
        return [] if session is None else status_of(session)

    def stats(self) -> Stats:
        """What was done so far, and how many bytes were moved for it.

        `bytes_per_item` beside `seconds_per_item` shows when moving data costs more than computing: then send less
        (`phalanx.share`, names of files instead of their contents), or more work at once.

        Example:
            >>> from phalanx import Pool
            >>> with Pool(2) as pool:
            ...     pool.map(abs, [-1, 2])
            ...     pool.stats().items
            [1, 2]
            2
        """
        session = self._inspected()
        if session is None:
            return Stats()
        engine = session.engine
        stats = engine.tally.stats(engine.next_batch)
        lending = session.packer.lending
        if lending is None:
            return stats
        return replace(stats, lent_out=lending.lent_out, bytes_out=stats.bytes_out + lending.lent_out)

    def dump_stacks(self) -> dict[int, str]:
        """Where every worker is in its code, by process id, as a traceback: also where it is stuck in C.

        Nobody is stopped by that. What a worker has not said within a tenth of a second (the machine is so busy,
        or the worker itself is stopped) is not there; a text in parentheses says so. For threads: by thread.
        """
        session = self._inspected()
        return {} if session is None else stacks_of(session)


def status_of(session: Session) -> list[WorkerStatus]:
    """All workers by slot."""
    if session.foreign or session.engine.is_mine():
        return []
    if session.is_open:
        session.driver.glance()
    with session.engine.lock:
        workers = [(worker, worker.at_work()) for worker in session.engine.workers.values()]
    found = [_status(worker, at_work, session.can_kill) for worker, at_work in workers]
    return sorted(found, key=lambda one: (one.slot, one.pid or 0))


def _status(worker: Worker, at_work: tuple[int, float] | None, has_process: bool) -> WorkerStatus:
    pid = worker.pid or None
    rss = memory.resident(pid) if pid and has_process else None
    if worker.stopping:
        state = "stopping"
    elif not worker.ready:
        state = "starting"
    else:
        state = "idle" if at_work is None else "running"
    if at_work is None:
        return WorkerStatus(worker.identity.slot, pid, state, rss=rss)
    index, since = at_work
    return WorkerStatus(worker.identity.slot, pid, state, index, max(0.0, monotonic() - since), rss)


class _Answers(Waitable):
    """Done when every worker that was asked where it is has said so."""

    def __init__(self, requests: dict[int, StackRequest]) -> None:
        self.requests = requests

    @property
    def is_done(self) -> bool:
        return all(each.refused is not None or each.is_whole() for each in self.requests.values())


def stacks_of(session: Session) -> dict[int, str]:
    """The Python stacks of all workers, by process id (or, for threads, by thread)."""
    if session.foreign or session.engine.is_mine():
        return {}
    if not session.can_kill:
        return _stacks_of_threads()
    engine = session.engine
    if session.is_open:
        session.driver.glance()
    with engine.lock:
        asked = {
            worker.pid: engine.performer.ask_for_stack(worker)
            for worker in engine.workers.values()
            if worker.pid and not worker.stopping
        }
    answers = _Answers(asked)
    # There is no end mark: who has not said all of it in twice the usual time says no more.
    for _ in range(2):
        session.wait_for(answers, LOOK_AFTER)
    return {pid: _told(request) for pid, request in asked.items()}


def _told(request: StackRequest) -> str:
    stack, _ = tell(request.text())
    if stack is not None:
        return stack
    return f"({request.refused})" if request.refused else "(nothing of the user's runs there)"


def _stacks_of_threads() -> dict[int, str]:
    frames = sys._current_frames()
    return {
        thread.ident: "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames and thread.name.startswith("phalanx-worker-")
    }
