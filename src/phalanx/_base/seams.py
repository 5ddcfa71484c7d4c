"""The seam between the engine and how workers begin and end.

Policy and engine are the same for processes, threads and the serial backend; only this differs, and how bytes
move (`channel`). A launcher decides nothing: it reports what happened, the policy says what to do about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from phalanx._base.channel import Channel
from phalanx._base.identity import WorkerIdentity, WorkerSetup


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """The launcher has a process (or thread) for this worker; it has not yet said that it is ready."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The worker is gone and reaped."""

    worker: int
    status: int | None
    """Exit code, minus the signal's number for a death by signal, or None when somebody else reaped it."""


@dataclass(frozen=True, slots=True)
class WorkerRefused:
    """The worker could not be started at all (fork refused, no descriptors left, ...)."""

    worker: int
    error: OSError


LaunchNews = WorkerStarted | WorkerEnded | WorkerRefused


@dataclass(slots=True)
class Launcher(ABC):
    """Starts and ends workers.

    `entry(setup, identity, worker_end)` is the worker's main function; it is handed in from above, so that a
    launcher never imports the worker. In a process it returns True if the worker was told to stop: then what
    it has started may stay.
    """

    entry: Callable[[WorkerSetup, WorkerIdentity, Any], object]
    setup: WorkerSetup
    news: deque[LaunchNews] = field(default_factory=deque, init=False)
    """What has happened and is not dealt with: whoever reads it takes each piece off the left end afterwards.
    So an exception that strikes between two bytecodes can make a piece come twice, but never lose one."""
    _closed: bool = field(default=False, init=False)

    @abstractmethod
    def open_channel(self) -> tuple[Channel, Any]:
        """A new channel: the parent's end, and what `start` passes to the worker."""

    def begin(self) -> None:
        """Get ready for the first `start`, and remember the memory that workers shall see, where they see any.

        Raises `OSError` if the system refuses that.
        """
        return

    @abstractmethod
    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        """Ask for one worker; returns at once. What came of it is news. Closes our copy of `worker_end`.

        Raises only what pickling `setup` raises, where the start method must pickle it.
        After anything else that strikes out of it nobody knows whether there is such a worker: close its
        channel, which ends it, and expect no news.
        """

    @abstractmethod
    def fileno(self) -> int:
        """One descriptor that is readable whenever `collect` has something to append."""

    @abstractmethod
    def collect(self) -> None:
        """Append what has happened to `news`; never waits."""

    def run_here(self) -> bool:
        """Run something in the calling thread, for workers that have none. False if there was nothing."""
        return False

    @abstractmethod
    def kill(self, worker: int, signum: int) -> None:
        """Send a signal to a worker that has not been reported as ended; silent if it has.

        May be called while another thread is in `start`, even of that worker; not beside `collect` or
        `close`.
        """

    def retire(self) -> None:
        """All workers have ended, and no other will be asked for: `close` will come, and may be prepared."""
        return

    @abstractmethod
    def close(self) -> None:
        """End what the launcher itself holds, after its workers have ended. Idempotent."""
