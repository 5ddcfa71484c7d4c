"""`check_launcher`: what every launcher of processes must do, whoever wrote it.

    def test_mine():
        check_launcher(lambda entry, setup: MyLauncher(entry, setup))

Each promise is checked with a launcher of its own; what is broken is said by an `AssertionError`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import Launcher, LaunchNews, WorkerEnded, WorkerRefused, WorkerStarted
from phalanx._platform.forked import close_in_children, making_descriptors
from phalanx._platform.pages import SharedPages

Make = Callable[[Callable[[WorkerSetup, WorkerIdentity, Any], object], WorkerSetup], Launcher]

# Long enough for the slowest machine; only a broken launcher takes that long.
_PATIENCE = 60.0


def check_launcher(make: Make, make_refused: Make | None = None) -> None:
    """Check a launcher of processes, made by `make(entry, setup)`.

    `make_refused`, if given, makes one whose every start is refused by the system.
    """
    for check in (_echoes, _reports_exit_codes, _kills, _starts_again, _closes_alone, _leaves_nothing):
        with _Trial(make) as trial:
            check(trial)
    if make_refused is not None:
        with _Trial(make_refused) as trial:
            _reports_refusal(trial)


def obey(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    """The entry of the workers under test: echo every line, leave as the line says, end at end of file."""
    setup.pages.page(identity.page)[0] = identity.worker + 1
    with sock, sock.makefile("rw", encoding="utf-8") as lines:
        for line in lines:
            word, *rest = line.split()
            if word == "exit":
                sys.exit(int(rest[0]))
            if word == "signal":
                os.kill(os.getpid(), int(rest[0]))
            lines.write(f"{identity.name} {line}")
            lines.flush()


class _Trial:
    """A launcher on trial, and all that was heard from it."""

    def __init__(self, make: Make) -> None:
        self.before = _possessions()
        self.pages = SharedPages(16)
        self.launcher = make(obey, WorkerSetup(self.pages))
        self.news: list[LaunchNews] = []
        self.ends: dict[int, socket.socket] = {}
        self.theirs: dict[int, socket.socket] = {}

    def __enter__(self) -> _Trial:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self.ends.values():
            end.close()
        try:
            for worker in self.ends:
                if not self.heard(worker, WorkerRefused):
                    self.wait_for(worker, WorkerEnded)
        finally:
            self.launcher.close()
            self.pages.close()

    def start(self, worker: int) -> None:
        with making_descriptors():
            self.ends[worker], theirs = socket.socketpair()
            close_in_children(self.ends[worker])
            close_in_children(theirs)
        self.launcher.start(WorkerIdentity(worker, slot=worker, page=worker), theirs)
        self.theirs[worker] = theirs

    def heard(self, worker: int, kind: type[LaunchNews]) -> Any:
        found = [news for news in self.news if news.worker == worker and isinstance(news, kind)]
        assert len(found) <= 1, f"said more than once: {found}"
        return found[0] if found else None

    def wait_for(self, worker: int, kind: type[LaunchNews]) -> Any:
        while (found := self.heard(worker, kind)) is None:
            ready = select.select([self.launcher.fileno()], [], [], _PATIENCE)[0]
            assert ready, f"no {kind.__name__} of worker {worker}; news so far: {self.news}"
            self.launcher.collect()
            while self.launcher.news:
                self.news.append(self.launcher.news.popleft())
        return found

    def say(self, worker: int, line: str) -> None:
        self.ends[worker].sendall(f"{line}\n".encode())

    def answer(self, worker: int) -> str:
        self.ends[worker].settimeout(_PATIENCE)
        return self.ends[worker].recv(1000).decode()


def _possessions() -> set[str]:
    """This process's descendants and descriptors."""
    children = {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}
    # The listing's own descriptor is in the list, and gone by the time it is looked at.
    return children | {str(path) for path in Path("/dev/fd").iterdir() if path.exists()}


def _echoes(trial: _Trial) -> None:
    """A worker gets its own channel, page and name, and runs in a process that is the one reported."""
    for worker in (0, 1):
        trial.start(worker)
    names = set()
    for worker in (0, 1):
        trial.say(worker, "hello")
        name, word = trial.answer(worker).split()
        assert word == "hello"
        names.add(name)
        assert trial.pages.page(worker)[0] == worker + 1, "the page is not shared"
        started = trial.wait_for(worker, WorkerStarted)
        assert started.pid != os.getpid()
        assert psutil.pid_exists(started.pid)
        assert trial.theirs[worker].fileno() == -1, "the parent still holds the worker's end"
    assert len(names) == 2, f"two workers of one name: {names}"


def _reports_exit_codes(trial: _Trial) -> None:
    """The status is the exit code, or minus the number of the signal; 0 when the entry returns."""
    wanted = {0: 0, 1: 7, 2: -signal.SIGTERM}
    for worker in wanted:
        trial.start(worker)
    trial.say(1, "exit 7")
    trial.say(2, f"signal {signal.SIGTERM:d}")
    trial.ends[0].shutdown(socket.SHUT_WR)
    for worker, status in wanted.items():
        ended = trial.wait_for(worker, WorkerEnded)
        assert ended.status == status, f"{ended} instead of {status}"
        assert trial.heard(worker, WorkerStarted), "ended without having started"


def _kills(trial: _Trial) -> None:
    """`kill` ends the one it names, also one that was only just asked for, and knows when there is none."""
    trial.start(0)
    trial.start(1)
    trial.launcher.kill(0, signal.SIGKILL)
    assert trial.wait_for(0, WorkerEnded).status == -signal.SIGKILL
    trial.launcher.kill(0, signal.SIGKILL)
    trial.launcher.kill(99, signal.SIGKILL)
    trial.say(1, "still here")
    assert trial.answer(1)


def _starts_again(trial: _Trial) -> None:
    """A replacement can be started at any time, and closing one channel ends that one's worker only."""
    trial.start(0)
    trial.wait_for(0, WorkerStarted)
    trial.start(1)
    trial.start(2)
    trial.say(2, "hello")
    trial.answer(2)
    trial.ends[0].close()
    assert trial.wait_for(0, WorkerEnded).status == 0, "another process holds the channel"
    trial.say(1, "hello")
    assert trial.answer(1)


def _closes_alone(trial: _Trial) -> None:
    """`close` may be called twice, with and without anything ever having been started."""
    trial.launcher.close()
    trial.launcher.close()
    trial.launcher.kill(0, signal.SIGTERM)


def _leaves_nothing(trial: _Trial) -> None:
    """After `close` there is no process and no descriptor more than before."""
    for worker in range(3):
        trial.start(worker)
    pids = {trial.wait_for(worker, WorkerStarted).pid for worker in range(3)}
    trial.launcher.kill(0, signal.SIGTERM)
    for worker in range(3):
        trial.ends[worker].close()
        trial.wait_for(worker, WorkerEnded)
    left = {pid for pid in pids if psutil.pid_exists(pid)}
    assert not left, f"reported as ended, but not gone: {left}"
    trial.launcher.close()
    trial.pages.close()
    # Compared after other launchers of this kind came and went, so that servants of the standard library,
    # which stay, are there in both.
    more = _possessions() - trial.before
    assert not more, f"left behind: {more}"


def _reports_refusal(trial: _Trial) -> None:
    """A start that the system refuses is news with the system's error, and takes nothing else along."""
    trial.start(0)
    error = trial.wait_for(0, WorkerRefused).error
    assert isinstance(error, OSError)
    assert error.errno, f"no error number in {error!r}"
