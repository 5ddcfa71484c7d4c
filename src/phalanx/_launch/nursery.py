"""The nursery's side: a small single-threaded process that forks workers on request and reaps them.

It is forked from the user's process once and keeps that memory as it was then, so every worker, the first
and the replacement of the hundredth, starts from the same snapshot. It runs none of the user's code (save
what was registered with `os.register_at_fork`), waits in one place for three things (a message, the end of a
child, the end of the user's process), and leaves by `os._exit` only. It signals no process that it has reaped:
it is the one who reaps.

A worker leads a session of its own, to which belongs what it starts. A worker that ended otherwise than as it was
told to is held on to, dead, while its session is killed: until it is reaped, its number can mean no other one. A
worker that ended in order has said so in its page.

When the user's process is gone, workers are killed by their lifelines. The nursery kills them too: those that
have not tied theirs yet, and those whose lifeline is held open by a process that the user's has forked behind
Python's back. For the same reason it does not rely on the end of the control socket alone. And it alone can find
what has left the group of its worker, which is as far as lifelines reach.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from phalanx._base.identity import WorkerIdentity
from phalanx._base.page import ORDERLY
from phalanx._launch.control import ControlEnd, Message
from phalanx._launch.process import Entry, prepare_forked_worker, run_forked_worker
from phalanx._platform import forked, processes, sessions, signals

if TYPE_CHECKING:
    from phalanx._base.identity import WorkerSetup

# How many requests are taken in at once.
_ROUND = 16


@dataclass(slots=True)
class _Children:
    """Who is alive, both ways."""

    pids: dict[int, int] = field(default_factory=dict)
    workers: dict[int, int] = field(default_factory=dict)
    pages: dict[int, int] = field(default_factory=dict)
    """By process id, which page the worker has."""


class NurserySide:
    """What the nursery does all its life."""

    def __init__(
        self, entry: Entry, setup: WorkerSetup, sock: socket.socket, user_pid: int, lifeline: int
    ) -> None:
        self._setup = setup
        self._control = ControlEnd(sock)
        self._user_pid = user_pid
        self._prepared = prepare_forked_worker(entry, user_pid, lifeline)
        self._lifeline = lifeline
        self._children = _Children()
        self._wake_read, self._wake_write = map(forked.Descriptor, os.pipe())
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end.number, False)
            forked.close_in_children(end)
        forked.close_in_children(sock)

    def run(self) -> None:
        """Until the user's process closes its end, or is gone; then no worker is left."""
        signals.notify_of_children(self._wake_write.number)
        poll = select.poll()
        poll.register(self._wake_read.number, select.POLLIN)
        poll.register(self._control.sock, select.POLLIN)
        parent = self._watch_parent(poll)
        try:
            # The first workers may have been asked for before this process was forked.
            while self._take_messages() and os.getppid() == self._user_pid:
                self._flush()
                ready = {descriptor for descriptor, _ in poll.poll()}
                if self._wake_read.number in ready:
                    os.read(self._wake_read.number, 4096)
                    self._reap()
                if parent is not None and parent.number in ready:
                    return
        finally:
            # Before the descriptor is gone that the ends of those below would be written to.
            signals.stop_notifying()
            for pid in self._children.workers:
                processes.kill_group_of_child(pid)
            sessions.kill_sessions(self._children.workers)

    def _watch_parent(self, poll: select.poll) -> forked.Descriptor | None:
        number = processes.open_pidfd(self._user_pid)
        if number is None:
            return None
        parent = forked.Descriptor(number)
        forked.close_in_children(parent)
        poll.register(number, select.POLLIN)
        return parent

    def _take_messages(self) -> bool:
        """Do what is asked for by now. False at the end."""
        # Not all at once: each may bring a descriptor, and there may be many. What is left can be read again.
        alive = self._control.receive(_ROUND)
        messages, token = self._control.messages()
        self._control.consume(token)
        started = self._start([(each[1:], end) for each, end in messages if each[0] == "start"])
        for message, _ in messages:
            self._obey(message)
        # Only now: the next worker should not wait for what is told of this one.
        for worker, pid in started:
            self._tell_of_start(worker, pid)
        return alive

    def _tell(self, *message: object, passenger: forked.Descriptor | None = None) -> None:
        self._control.post(message, passenger)

    def _flush(self) -> None:
        """Send what there is to tell, once for all that was dealt with together: the parent may be busy."""
        while True:
            try:
                self._control.flush(wait=True)
            except OSError as error:
                if error.errno not in (errno.ETOOMANYREFS, errno.EMFILE):
                    raise
                # Too many descriptors are under way: the message matters more than its passenger.
                self._control.unseat_first()
            else:
                return

    def _reap(self) -> None:
        while True:
            try:
                reaped = processes.reap_one(self._takes_along)
            except ChildProcessError:
                return
            if reaped is None:
                return
            pid, status = reaped
            worker = self._children.workers.pop(pid, None)
            if worker is not None:
                del self._children.pids[worker], self._children.pages[pid]
                self._tell("ended", worker, os.waitstatus_to_exitcode(status))

    def _takes_along(self, pid: int) -> bool:
        page = self._children.pages.get(pid)
        return page is not None and not self._setup.pages.page(page)[ORDERLY]

    def _obey(self, message: Message) -> None:
        match message:
            case ("kill", worker, signal.SIGKILL) if worker in self._children.pids:
                processes.kill_group_of_child(self._children.pids[worker])
            case ("kill", worker, signum) if worker in self._children.pids:
                processes.send_signal_to_child(self._children.pids[worker], signum)

    def _start(self, wanted: list[tuple[tuple[Any, ...], int | None]]) -> list[tuple[int, int]]:
        """Fork these workers, each with its end of its channel; those that were started, and their process ids.

        Nothing else is done between two forks: each makes all of this process's memory shared once more, and
        what is touched after that is copied again.
        """
        pids: list[int | OSError] = []
        for identity, end in wanted:
            try:
                pids.append(
                    os.fork() if end is not None else OSError(errno.EMFILE, "no room for its channel")
                )
            except OSError as error:
                pids.append(error)
            if pids[-1] == 0:
                self._become_worker(identity, end, [other for _, other in wanted])
        started = []
        for (identity, end), pid in zip(wanted, pids, strict=True):
            worker = identity[0]
            if end is not None:
                os.close(end)
            if isinstance(pid, OSError):
                self._tell("refused", worker, pid.errno or errno.EAGAIN)
            else:
                self._children.pids[worker] = pid
                self._children.workers[pid] = worker
                self._children.pages[pid] = identity[2]
                started.append((worker, pid))
        return started

    def _tell_of_start(self, worker: int, pid: int) -> None:
        # Opened here, where the child cannot have been reaped: it is certain to mean this process.
        pidfd = processes.open_pidfd(pid)
        passenger = None if pidfd is None else forked.Descriptor(pidfd)
        if passenger is not None:
            forked.close_in_children(passenger)
        self._tell("started", worker, pid, passenger=passenger)

    def _become_worker(self, identity: tuple[Any, ...], end: int | None, ends: list[int | None]) -> NoReturn:
        try:
            signals.stop_notifying()
            for other in ends:
                if other is not None and other != end:
                    os.close(other)
            sock = socket.socket(fileno=end)
            forked.close_in_children(sock)
            run_forked_worker(self._prepared, self._setup, WorkerIdentity(*identity), sock, self._lifeline)
        finally:
            os._exit(1)


def _regain_depth(limit: int) -> None:
    """Our stack is the user's, perhaps deep inside a recursion: leave workers about as much as on top of it."""
    frame, depth = sys._getframe().f_back, 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(limit if depth < limit // 2 else limit + depth)


def run_nursery(entry: Entry, setup: WorkerSetup, sock: socket.socket, user_pid: int, lifeline: int) -> None:
    """What a freshly forked nursery does; returns when the user's process is gone or done with it."""
    _regain_depth(sys.getrecursionlimit() // 2)  # whoever calls this has doubled it
    signals.settle_signals()
    # Whoever kills the user's process with its group, as a pool does with a worker that has one of its own, must not
    # kill the one who clears up after it.
    os.setsid()
    forked.forget_exit_handlers()
    if setup.threads is not None:
        # Here once for all workers, and not in each: OpenBLAS starts the threads that it may not use before it hears
        # how many it may, each of which looks for work for a tenth of a second; and ends them before the next fork.
        # Source: OpenBLAS, `driver/others/blas_server.c` (`goto_set_num_threads`) and `memory.c` (`pthread_atfork`).
        setup.threads.apply()
        setup.threads = None
    # What a collection touches is copied: workers leave alone what they share with the nursery.
    gc.freeze()
    try:
        NurserySide(entry, setup, sock, user_pid, lifeline).run()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the user's process is gone
