"""The `spawn` and `forkserver` start methods: the standard library starts the process.

So locks travel in `initargs`, `__main__` is prepared, and whatever else `Process` does stays as it is.

A death is known by pidfd. `Process.sentinel` is no proof under `spawn` (it stays silent while a grandchild
holds its other end) and no proof under `forkserver` (it ends when the fork server dies, though the worker
lives). But under `forkserver` the exit status comes through it, so there both are watched: dead is who is
dead by pidfd, and it is reported when the status is there, or when it will never come.

Who reaps a worker, and when, is not ours to say: under `spawn` every `active_children()` does, under
`forkserver` the server. So its process group, what it has started, is killed by its lifeline, which means the
same group for ever. That is pulled to kill a worker, and once more when it has ended: if it ended as it was
told to, nothing is tied to it any more (see `lifelines`). What has left the group is looked for by its session: by
us when the worker has ended, and by the guard when we have.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import process
from typing import Any

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import WorkerEnded, WorkerStarted
from phalanx._launch import mains
from phalanx._launch.guarding import guard
from phalanx._launch.launcher import ProcessLauncher
from phalanx._launch.process import (
    Entry,
    ForkServerProcess,
    SpawnProcess,
    count_worker,
)
from phalanx._platform import processes
from phalanx._platform.lifelines import Cord
from phalanx._platform.signals import blocked

_CLASSES = {"spawn": SpawnProcess, "forkserver": ForkServerProcess}


@dataclass(slots=True)
class _Child:
    process: Any
    page: int
    pid: int
    sentinel: int
    pidfd: int | None
    cord: Cord
    dead: bool = False
    """Its pidfd said so."""
    silent: bool = False
    """Its sentinel ended: no status will come that is not there by now."""


class ContextLauncher(ProcessLauncher[_Child]):
    """Workers are processes of `multiprocessing.get_context(method)`."""

    def __init__(
        self,
        entry: Entry,
        setup: WorkerSetup,
        method: str,
        arrival: Callable[[], object] | None = None,
    ) -> None:
        """`arrival`: called in each worker before anything of the user's runs there."""
        super().__init__(entry, setup)
        self._arrival = arrival
        self._beginnings = mains.Beginnings()
        self._class = _CLASSES[method]
        self._served = method == "forkserver"

    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        try:
            child = self._start(identity, worker_end)
        except OSError as error:
            self._refused(identity.worker, error)
            return
        except EOFError:
            # What the standard library makes of it: the server is gone, most likely because it could not fork.
            why = "the fork server ended while it was asked for a worker; what it said last is on stderr"
            self._refused(identity.worker, OSError(errno.ECHILD, why))
            return
        finally:
            worker_end.close()
        self.news.append(WorkerStarted(identity.worker, child.pid))
        self._enter(identity.worker, child)
        if child.pidfd is not None:
            self._gathering.watch(child.pidfd)
        if child.pidfd is None or self._served:
            self._gathering.watch(child.sentinel)
        self._gathering.ring()

    def collect(self) -> None:
        if self._is_over():
            return
        ready = self._gathering.ready()
        # All, not only those that are ready: who was looked at when an exception struck is not ready again.
        for worker, child in list(self._children.items()):
            if child.pidfd in ready:
                child.dead = True
                self._gathering.forget(child.pidfd or -1)
            if child.sentinel in ready and not self._status_came(child):
                child.silent = True
                self._gathering.forget(child.sentinel)
            self._look_at(worker, child)

    def close(self) -> None:
        if self._is_over():
            return
        self._closed = True
        for worker, child in list(self._children.items()):
            self._forget(worker, child)
        self._gathering.close()

    def _signal(self, worker: int, child: _Child, signum: int) -> None:
        if signum == signal.SIGKILL:
            child.cord.pull()
        if child.pidfd is not None:
            processes.send_signal(child.pidfd, signum)
        elif not self._status_came(child):
            processes.send_signal_to_child(child.pid, signum)

    def _start(self, identity: WorkerIdentity, worker_end: Any) -> _Child:
        # Loaded here, because who forks has no use for them, and every page of memory makes forking slower.
        from multiprocessing import forkserver, resource_tracker
        from multiprocessing.connection import wait

        # These start processes of their own, which must not inherit that we hold interrupts back.
        resource_tracker.ensure_running()
        if self._served:
            preload(self._class.__module__, self.entry.__module__)
            forkserver.ensure_running()
        worker: Any = self._class(target=self.entry, daemon=True)
        identity = count_worker(identity, self._class.__name__, worker._identity[-1])
        worker._identity = (*worker._identity[:-1], identity.ordinal)
        worker.name = identity.name
        worker._args = (self.setup, identity, worker_end)
        worker.main = mains.of_this_program()
        worker.arrival = self._arrival
        # The fork server has that of its own first day.
        limits = {} if self.setup.threads is None else self.setup.threads.environment
        worker.environment = {**self._beginnings.environment, **limits, **identity.environment}
        worker._lifeline = cord = Cord()
        # Held back until the worker ignores interrupts, or Ctrl-C would end it with a traceback on its way.
        with mains.left_to_us(self._beginnings.places()), blocked({signal.SIGINT}):
            worker.start()
        is_tied_by_number = cord.tie_to(worker.pid)
        guard.watch(worker.pid)
        pidfd = processes.open_pidfd(worker.pid)
        if self._served and wait([worker.sentinel], 0):
            # Not our child: it may have been reaped before we could hold on to it.
            if is_tied_by_number:
                cord.untie()
            if pidfd is not None:
                os.close(pidfd)
                pidfd = None
        return _Child(worker, identity.page, worker.pid, worker.sentinel, pidfd, cord)

    def _status_came(self, child: _Child) -> bool:
        popen = child.process._popen
        if popen.returncode is None:
            popen.poll()
        return popen.returncode is not None

    def _look_at(self, worker: int, child: _Child) -> None:
        """Report it if it has ended."""
        if child.pidfd is None:
            ended = child.silent or self._status_came(child)
        else:
            ended = child.dead and (not self._served or child.silent or self._status_came(child))
        if ended:
            child.cord.pull()
            self._clear_up_after(child.page, child.pid)
            self.news.append(WorkerEnded(worker, self._status(child)))
            self._forget(worker, child)

    def _status(self, child: _Child) -> int | None:
        return child.process._popen.returncode if self._status_came(child) else None

    def _forget(self, worker: int, child: _Child) -> None:
        self._gathering.forget(child.sentinel)
        if child.pidfd is not None:
            self._gathering.forget(child.pidfd)
        # Nothing can strike between giving up the number and giving back the descriptor.
        pidfd, child.pidfd = child.pidfd, None
        if pidfd is not None:
            os.close(pidfd)
        # What `join` and `close` of the process do, but they refuse where the status is unknown.
        process._children.discard(child.process)  # type: ignore[attr-defined]
        child.process._popen.close()
        child.cord.close()
        guard.forget(child.pid)
        self._children.pop(worker, None)
        self._signals.pop(worker, None)


def preload(*modules: str) -> None:
    """Have the fork server, if it is not up yet, load what each process of ours would load by itself."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if server._forkserver_pid is None:
        missing = set(modules).difference(server._preload_modules)
        server._preload_modules = [*server._preload_modules, *missing]
