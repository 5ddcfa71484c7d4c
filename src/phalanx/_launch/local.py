"""Workers in this process: one thread each, or none at all (they run in the thread that waits)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from phalanx._base.channel import Channel
from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import Launcher, WorkerEnded, WorkerRefused, WorkerStarted
from phalanx._transport import MemoryChannel, MemoryEnd


class ThreadLauncher(Launcher):
    """A worker is a daemon thread. `ring` wakes the engine; there is no descriptor.

    A thread cannot be killed: one that is told to stop ends after the item that it is running.
    """

    def __init__(self, entry: Callable[..., None], setup: WorkerSetup, ring: Callable[[], None]) -> None:
        super().__init__(entry, setup)
        self._ring = ring
        self._threads: dict[int, threading.Thread] = {}

    def open_channel(self) -> tuple[Channel, Any]:
        end = MemoryEnd(self._ring)
        return MemoryChannel(end), end

    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        thread = threading.Thread(
            target=self._live,
            args=(identity, worker_end),
            name=f"phalanx-worker-{identity.slot}",
            daemon=True,
        )
        self._threads[identity.worker] = thread
        try:
            thread.start()
        except RuntimeError as error:
            self.news.append(WorkerRefused(identity.worker, OSError(str(error))))
        else:
            self.news.append(WorkerStarted(identity.worker, os.getpid()))

    def _live(self, identity: WorkerIdentity, worker_end: Any) -> None:
        try:
            self.entry(self.setup, identity, worker_end)
        finally:
            self.news.append(WorkerEnded(identity.worker, 0))
            self._ring()

    def fileno(self) -> int:
        return -1

    def collect(self) -> None:
        """The threads themselves append to `news`."""

    def kill(self, worker: int, signum: int) -> None:
        """A thread cannot be killed."""

    def close(self) -> None:
        for thread in self._threads.values():
            thread.join()
        self._threads.clear()


class _InlineChannel(MemoryChannel):
    """The worker is whoever drives, who may be waiting for something else when work comes."""

    def __init__(self, end: MemoryEnd, ring: Callable[[], None]) -> None:
        super().__init__(end)
        self._ring = ring

    def flush(self) -> bool:
        done = super().flush()
        self._ring()
        return done


class InlineLauncher(Launcher):
    """A worker without a thread: its items run in the thread that waits for them. `ring` wakes that thread."""

    def __init__(self, entry: Callable[..., Any], setup: WorkerSetup, ring: Callable[[], None]) -> None:
        super().__init__(entry, setup)
        self._ring = ring
        # A step runs what has come: False if nothing had, None if it was the end.
        self._steps: dict[int, Callable[[], bool | None]] = {}

    def open_channel(self) -> tuple[Channel, Any]:
        end = MemoryEnd(lambda: None)
        return _InlineChannel(end, self._ring), end

    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        step: Any = self.entry(self.setup, identity, worker_end)
        self._steps[identity.worker] = step
        self.news.append(WorkerStarted(identity.worker, os.getpid()))
        # It is ready by now. Who has started it in the middle of driving waits for something new before it looks.
        self._ring()

    def fileno(self) -> int:
        return -1

    def run_here(self) -> bool:
        did_something = False
        for worker, step in list(self._steps.items()):
            try:
                done = step()
            except BaseException:
                # Struck outside an item, and nobody knows how far it got: like a process, it has died of it.
                self.kill(worker, 0)
                raise
            if done is None:
                self.kill(worker, 0)
            did_something |= done is not False
        return did_something

    def collect(self) -> None:
        """Nothing happens here but what `run_here` does."""

    def kill(self, worker: int, signum: int) -> None:
        if self._steps.pop(worker, None) is not None:
            self.news.append(WorkerEnded(worker, 0))

    def close(self) -> None:
        self._steps.clear()
