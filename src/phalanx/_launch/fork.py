"""The `fork` start method: a nursery, forked once, forks the workers.

A replacement takes about a millisecond, sees the same memory as the first workers, and is forked from a
process with one thread, however many the user's process has by then. The user's process talks to the nursery
over one socket; it never waits for it, save for its end.

If the nursery dies (somebody killed it), its workers are killed and reported as ended, with unknown status,
as soon as that is certain; the next start forks a new one, from what the memory is by then.

CPython 3.12 and later warn (`DeprecationWarning`) when a process with several threads forks. That warning is
let through when the user's process has several while the nursery is forked: the danger is real, the choice is
the user's. The nursery itself never has more than one.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass, field
from itertools import starmap
from multiprocessing import util
from typing import Any

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import WorkerEnded, WorkerStarted
from phalanx._launch.control import ControlEnd, Message
from phalanx._launch.launcher import ProcessLauncher
from phalanx._launch.nursery import run_nursery
from phalanx._launch.process import Entry, count_worker
from phalanx._platform import processes
from phalanx._platform.forked import Descriptor, close_in_children, handing_down, making_descriptors
from phalanx._platform.signals import blocked


@dataclass(slots=True)
class _Nursery:
    """What the parent holds of a nursery, from before it is forked."""

    control: ControlEnd
    lifeline: Descriptor
    """Workers hold the other end of this pipe: it ends them with us, and tells `parent_process()` that we live."""
    ends: tuple[socket.socket, Descriptor]
    """The other ends of both, for the nursery."""
    forks: list[int] = field(default_factory=list)
    """Its process id, stored by the call that forks it."""
    pidfd: int | None = None
    reaped: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class _Child:
    """What the parent knows of a worker that it has asked for and that has not ended."""

    page: int
    pid: int | None = None
    pidfd: int | None = None
    """Opened by the nursery before it could reap the worker; watched only after the nursery's death."""


class ForkLauncher(ProcessLauncher[_Child]):
    """Workers are forked by a nursery, which is forked by `begin`, or else by the first `start`."""

    def __init__(self, entry: Entry, setup: WorkerSetup) -> None:
        super().__init__(entry, setup)
        self._nursery: _Nursery | None = None
        self._dead: deque[_Nursery] = deque()

    def begin(self) -> None:
        """Fork the nursery, unless there is one. Raises OSError if that is refused."""
        self._bring_up()
        self._flush()

    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        identity = count_worker(identity, "ForkProcess")
        try:
            nursery = self._bring_up()
        except OSError as error:
            worker_end.close()
            self._refused(identity.worker, error)
            return
        # Asked for before it is entered, or another thread's `kill` might overtake the request.
        nursery.control.post(
            (
                *("start", identity.worker, identity.slot, identity.page, identity.name, identity.ordinal),
                identity.environment,
            ),
            worker_end,
        )
        self._enter(identity.worker, _Child(identity.page))
        self._flush()

    def collect(self) -> None:
        if self._is_over():
            return
        self._bury()
        ready = self._gathering.ready()
        # After the bell was heard: what is posted from now on rings it again.
        self._flush()
        nursery = self._nursery
        if nursery is not None:
            control = nursery.control.sock.fileno()
            gone = nursery.pidfd in ready
            if control in ready or gone or nursery.control.has_unheard:
                # All that it said before it died comes first.
                gone |= not self._listen(nursery.control, None if gone else 1)
            if gone:
                self._nursery_lost(nursery)
        for worker, child in list(self._children.items()):
            if child.pidfd in ready:
                self._clear_up_after(child.page, child.pid)
                self._ended(worker, None)

    def retire(self) -> None:
        # It takes as long to go as we take to be done with the rest.
        if self._nursery is not None and not self._is_over():
            self._dismiss(self._nursery)

    def close(self) -> None:
        if self._is_over():
            return
        self._closed = True
        if self._nursery is not None:
            self._discard(self._nursery)
        self._bury()
        for worker, child in list(self._children.items()):
            self._forget(worker, child)
        self._gathering.close()

    def _ended(self, worker: int, status: int | None) -> None:
        child = self._children.get(worker)
        if child is None:  # heard before
            return
        self.news.append(WorkerEnded(worker, status))
        self._forget(worker, child)

    def _forget(self, worker: int, child: _Child) -> None:
        if child.pidfd is not None:
            self._gathering.forget(child.pidfd)
        # Nothing can strike between giving up the number and giving back the descriptor.
        pidfd, child.pidfd = child.pidfd, None
        if pidfd is not None:
            os.close(pidfd)
        self._children.pop(worker, None)
        self._signals.pop(worker, None)

    def _signal(self, worker: int, child: _Child, signum: int) -> None:
        nursery = self._nursery
        if child.pidfd is not None and signum == signal.SIGKILL:
            processes.kill_group(child.pidfd)
        elif child.pidfd is not None:
            processes.send_signal(child.pidfd, signum)
        elif nursery is not None:
            # Sent by `collect`: another thread may be sending just now.
            nursery.control.post(("kill", worker, int(signum)))
            self._gathering.ring()

    # Talking with the nursery.

    def _flush(self) -> None:
        while self._nursery is not None:
            control = self._nursery.control
            try:
                done = control.flush()
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    return  # it is dead: `collect` will hear of that, and what was asked is answered there
                self._refused(control.drop_first()[1], error)
                continue
            self._gathering.watch(control.sock.fileno(), writable=not done)
            if self._nursery.pidfd is not None:
                self._gathering.watch(self._nursery.pidfd)
            return

    def _listen(self, control: ControlEnd, most: int | None) -> bool:
        alive = control.receive(most)
        messages, token = control.messages()
        for message, pidfd in messages:
            self._hear(message, pidfd)
        control.consume(token)
        return alive

    def _hear(self, message: Message, pidfd: int | None) -> None:
        match message:
            case ("started", worker, pid):
                child = self._children.get(worker)
                if child is not None:
                    self.news.append(WorkerStarted(worker, pid))
                    child.pid, child.pidfd = pid, pidfd
            case ("ended", worker, status):
                self._ended(worker, status)
            case ("refused", worker, code):
                self._refused(worker, OSError(code, os.strerror(code)))

    # The nursery, from birth to death.

    def _make_nursery(self) -> _Nursery:
        with making_descriptors():
            ours, theirs = socket.socketpair()
            read, write = map(Descriptor, os.pipe())
            for end in (ours, theirs, read, write):
                close_in_children(end)
        # Watched by `_flush`, which knows only a nursery that is in place.
        self._nursery = _Nursery(ControlEnd(ours), write, (theirs, read))
        return self._nursery

    def _bring_up(self) -> _Nursery:
        """Have a nursery that lives. May be broken off anywhere, and is then done again from there."""
        nursery = self._nursery or self._make_nursery()
        if not nursery.forks:
            self._fork(nursery)
        if nursery.pidfd is None:
            nursery.pidfd = processes.open_pidfd(nursery.forks[0])
        for end in nursery.ends:
            end.close()
        return nursery

    def _fork(self, nursery: _Nursery) -> None:
        util._flush_std_streams()  # type: ignore[attr-defined]  # or each worker would write it again
        control, lifeline = nursery.ends
        try:
            # No signal handler may raise in the child: it is deep inside the user's frames.
            with handing_down(control, lifeline), blocked():
                nursery.forks.extend(starmap(os.fork, ((),)))
                if not nursery.forks[0]:
                    # The user may be so deep that not even `run_nursery`, which puts this right, could be called.
                    sys.setrecursionlimit(2 * sys.getrecursionlimit())
                    run_nursery(self.entry, self.setup, control, self._owner, lifeline.number)
        finally:
            if nursery.forks and not nursery.forks[0]:
                os._exit(0)

    def _nursery_lost(self, nursery: _Nursery) -> None:
        # First of all: lifelines kill whole groups, and those that are tied to them go with their workers.
        nursery.lifeline.close()
        for worker, child in list(self._children.items()):
            if child.pidfd is None:
                # Never heard of, or no way to hold on to it: it ends when its channel is closed.
                self._ended(worker, None)
            else:
                processes.kill_group(child.pidfd)
                self._gathering.watch(child.pidfd)
        self._discard(nursery)

    def _discard(self, nursery: _Nursery) -> None:
        self._dead.append(nursery)
        self._nursery = None
        self._bury()

    def _dismiss(self, nursery: _Nursery) -> None:
        """Have it end, even if it was stopped."""
        if nursery.pidfd is not None:
            processes.send_signal(nursery.pidfd, signal.SIGKILL)
        elif nursery.forks and not nursery.reaped:
            processes.send_signal_to_child(nursery.forks[0], signal.SIGKILL)

    def _bury(self) -> None:
        """Give back what is left of nurseries. May be broken off anywhere, and is then done again."""
        while self._dead:
            nursery = self._dead[0]
            # First of all, or it would wake up and take its time to leave by itself.
            self._dismiss(nursery)
            self._gathering.forget(nursery.control.sock.fileno())
            nursery.control.close()
            nursery.lifeline.close()
            for end in nursery.ends:
                end.close()
            if nursery.forks and not nursery.reaped:
                processes.reap_into(nursery.reaped, nursery.forks[0])
            if nursery.pidfd is not None:
                self._gathering.forget(nursery.pidfd)
            pidfd, nursery.pidfd = nursery.pidfd, None
            if pidfd is not None:
                os.close(pidfd)
            self._dead.popleft()
