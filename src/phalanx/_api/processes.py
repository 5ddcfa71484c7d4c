"""Workers as programs that look into a pool expect to see them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phalanx._api.session import Session
    from phalanx._engine.workers import Worker


class WorkerHandle:
    """One worker process: `pid`, `is_alive()`, `exitcode`, and the means to end it."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session = session
        self._worker = worker
        self.pid = worker.pid

    @property
    def exitcode(self) -> int | None:
        """Minus the signal's number for a death by signal; None while it lives, or if nobody knows."""
        ended = self._worker.ended
        return None if ended is None else ended.status

    def is_alive(self) -> bool:
        """Whether the process runs."""
        import psutil  # slow to load, and few look into a pool

        return self._worker.ended is None and psutil.pid_exists(self.pid)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the process to end, at most `timeout` seconds."""
        import psutil

        try:
            psutil.Process(self.pid).wait(timeout)
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            return

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._session.engine.launcher.kill(self._worker.identity.worker, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._session.engine.launcher.kill(self._worker.identity.worker, signal.SIGKILL)

    def __repr__(self) -> str:
        return f"<worker {self._worker.identity.slot}, pid {self.pid}>"


def worker_handles(session: Session) -> list[WorkerHandle]:
    """The workers of a session that have not ended, oldest first."""
    if session.is_open and not session.foreign:
        session.driver.glance()
        session.driver.wait_for(session.engine.all_started, 10)
    return [WorkerHandle(session, worker) for worker in list(session.engine.workers.values())]
