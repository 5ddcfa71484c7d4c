"""What the launchers of processes have in common."""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from phalanx._base.identity import WorkerSetup
from phalanx._base.page import ORDERLY
from phalanx._base.seams import Launcher, WorkerRefused
from phalanx._launch.endpoints import open_socket_channel
from phalanx._platform.forked import close_in_children
from phalanx._platform.sessions import kill_session_of_dead
from phalanx._platform.waiting import Gathering

if TYPE_CHECKING:
    from phalanx._base.channel import Channel
    from phalanx._launch.process import Entry

Child = TypeVar("Child")


class ProcessLauncher(Launcher, Generic[Child]):
    """Keeps book of the children that were asked for and have not ended.

    `kill` may come from another thread in the midst of `start`. So it first notes the signal, then looks for
    the child, while `start` first enters the child, then looks for a signal: one of the two finds both.
    """

    def __init__(self, entry: Entry, setup: WorkerSetup) -> None:
        super().__init__(entry, setup)
        self._owner = os.getpid()
        self._children: dict[int, Child] = {}
        self._signals: dict[int, int] = {}
        self._gathering = Gathering()
        close_in_children(self._gathering)

    def open_channel(self) -> tuple[Channel, Any]:
        return open_socket_channel()

    def fileno(self) -> int:
        return self._gathering.fileno()

    def kill(self, worker: int, signum: int) -> None:
        if self._is_over():
            return
        if self._signals.get(worker) != signal.SIGKILL:  # nothing else matters to one that is to be killed
            self._signals[worker] = signum
        self._deliver(worker)

    @abstractmethod
    def _signal(self, worker: int, child: Child, signum: int) -> None:
        """Send a signal; silent if the child has ended."""

    def _enter(self, worker: int, child: Child) -> None:
        self._children[worker] = child
        self._deliver(worker)

    def _deliver(self, worker: int) -> None:
        child = self._children.get(worker)
        if child is not None:
            signum = self._signals.pop(worker, None)
            if signum is not None:
                self._signal(worker, child, signum)

    def _clear_up_after(self, page: int, pid: int | None) -> None:
        """The worker is dead: unless it ended as it was told to, what it has started ends, too."""
        if pid is not None and not self.setup.pages.page(page)[ORDERLY]:
            kill_session_of_dead(pid)

    def _refused(self, worker: int, error: OSError) -> None:
        self.news.append(WorkerRefused(worker, error))
        self._children.pop(worker, None)
        self._gathering.ring()

    def _is_over(self) -> bool:
        """Closed, or the copy in a forked child: it must not touch anything."""
        return self._closed or os.getpid() != self._owner
