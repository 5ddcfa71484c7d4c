"""A lifeline kills a whole process group, whatever that is doing, and nobody after an orderly end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from phalanx._platform import lifelines, processes
from phalanx._platform.forked import Descriptor, close_in_children, handing_down
from phalanx._platform.lifelines import Cord, Lifeline

PATIENCE = 20.0
CATASTROPHE = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"


class Forked:
    """A forked process, which holds a pipe open as long as it, or a process that it has started, lives."""

    def __init__(self, body: Callable[[], object], hand_down: tuple[Any, ...] = ()) -> None:
        alive, held = map(Descriptor, os.pipe())
        said, say = map(Descriptor, os.pipe())
        for end in (alive, said, held, say):
            close_in_children(end)
        with handing_down(*hand_down, held, say):
            self.pid = os.fork()
        if not self.pid:
            try:
                os.set_inheritable(held.number, True)
                body()
                os.write(say.number, b"ready")
                say.close()
                self.go_on()
            finally:
                os._exit(7)
        held.close()
        say.close()
        self._alive = alive
        self.reaped: int | None = None
        assert os.read(said.number, 10) in (b"ready", b"")
        said.close()

    def go_on(self) -> None:
        select.select([], [], [], PATIENCE)

    def is_all_gone(self, seconds: float = PATIENCE) -> bool:
        return bool(select.select([self._alive.number], [], [], seconds)[0])

    def reap(self) -> int:
        self.reaped = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._alive.close()
        return self.reaped


class Stuck(Forked):
    """In C code that does not give the interpreter back."""

    def go_on(self) -> None:
        exec(CATASTROPHE)


@contextmanager
def pipe() -> Iterator[tuple[Descriptor, Descriptor]]:
    read, write = map(Descriptor, os.pipe())
    close_in_children(read)
    close_in_children(write)
    yield read, write
    read.close()
    write.close()


_tied: list[Lifeline] = []


def tie(end: int, is_shared: bool = True) -> None:
    _tied.append(Lifeline(end, is_shared))
    _tied[-1].tie()


def start_grandchildren() -> None:
    subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"], close_fds=False)


@pytest.mark.parametrize("kind", [Forked, Stuck])
def test_letting_go_kills_the_process_and_what_it_started(kind: type[Forked]) -> None:
    with pipe() as (read, write):

        def live() -> None:
            tie(read.number)
            start_grandchildren()

        tied = [kind(live, (read,)) for _ in range(2)]
        assert not tied[0].is_all_gone(0)
        write.close()
        for each in tied:
            assert each.is_all_gone(2)
            assert each.reap() == -signal.SIGKILL


def test_a_stopped_process_is_killed_too() -> None:
    with pipe() as (read, write):
        tied = Forked(lambda: tie(read.number), (read,))
        os.kill(tied.pid, signal.SIGSTOP)
        write.close()
        assert tied.is_all_gone(2)
        tied.reap()


def test_an_end_that_came_before_it_was_tied_is_noticed() -> None:
    with pipe() as (read, write):

        def come_too_late() -> None:
            assert select.select([read.number], [], [], PATIENCE)[0]
            tie(read.number)

        write_closed = threading.Timer(0.1, write.close)
        write_closed.start()
        try:
            tied = Forked(come_too_late, (read,))
        finally:
            write_closed.join()
        assert tied.reap() == -signal.SIGKILL


def test_what_it_started_stays_after_an_orderly_end() -> None:
    with pipe() as (read, write):
        told = []

        def end_in_order() -> None:
            tie(read.number)
            child = subprocess.Popen(["sleep", "60"], close_fds=False)
            os.write(saying.number, b"%d" % child.pid)
            _tied[0].untie()
            os._exit(0)

        with pipe() as (hearing, saying):
            worker = Forked(end_in_order, (read, saying))
            told.append(int(os.read(hearing.number, 20)))
        assert os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert processes.reap_one(lambda pid: False) == (worker.pid, 0)
        write.close()
        assert not worker.is_all_gone(0.05)
        os.kill(told[0], signal.SIGKILL)
        assert worker.is_all_gone()


def test_whoever_reaps_kills_the_group_of_one_that_died_otherwise() -> None:
    with pipe() as (read, _write):

        def die() -> None:
            tie(read.number)
            start_grandchildren()
            os._exit(0)

        worker = Forked(die, (read,))
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        assert not worker.is_all_gone(0)
        assert processes.reap_one(lambda pid: pid == worker.pid) == (worker.pid, 0)
        assert worker.is_all_gone(2)


def test_a_pidfd_kills_the_group_and_the_process_that_has_none() -> None:
    group = subprocess.Popen(["sh", "-c", "echo; sleep 60"], process_group=0, stdout=subprocess.PIPE)
    alone = subprocess.Popen(["sleep", "60"])
    assert group.stdout is not None
    group.stdout.readline()
    for process in (group, alone):
        pidfd = processes.open_pidfd(process.pid)
        if pidfd is None:
            pytest.skip("no pidfd here")
        processes.kill_group(pidfd)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        processes.kill_group(pidfd)
        os.close(pidfd)
    assert group.stdout.read() == b""
    group.stdout.close()


@pytest.mark.parametrize("is_shared", [True, False])
def test_without_files_that_signal_a_thread_waits(is_shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifelines, "_F_SETSIG", None)
    with pipe() as (read, write):

        def live() -> None:
            tie(read.number, is_shared)
            start_grandchildren()

        tied = Forked(live, (read,))
        assert not tied.is_all_gone(0)
        write.close()
        assert tied.is_all_gone(2)
        assert tied.reap() == -signal.SIGKILL


def test_a_cord_reaches_the_thread_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(lifelines.fcntl, "fcntl", refuse)
    cord = Cord()

    def live() -> None:
        tie_cord(cord)
        start_grandchildren()

    worker = Forked(live, (cord._read,))
    assert not cord.tie_to(worker.pid)
    assert not worker.is_all_gone(0)
    cord.pull()
    assert worker.is_all_gone(2)
    assert worker.reap() == -signal.SIGKILL
    cord.close()


def tie_cord(cord: Cord) -> None:
    tie(os.dup(cord._read.number), is_shared=False)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("end", ["pull", "close"])
def test_a_cord_ends_its_worker_and_only_that(ties: bool, end: str) -> None:
    cords = [Cord(), Cord()]
    workers = []
    for cord in cords:

        def live(cord: Cord = cord) -> None:
            if ties:
                tie_cord(cord)
                start_grandchildren()
            else:
                os.dup(cord._read.number)

        workers.append(Forked(live, (cord._read,)))
        cord.tie_to(workers[-1].pid)
    getattr(cords[0], end)()
    assert workers[0].is_all_gone(2)
    assert not workers[1].is_all_gone(0)
    cords[1].close()
    for worker in workers:
        assert worker.reap() == -signal.SIGKILL
    for cord in cords:
        cord.close()


def test_a_cord_reaches_what_a_dead_and_reaped_worker_left() -> None:
    cord = Cord()

    def die() -> None:
        tie_cord(cord)
        start_grandchildren()
        os._exit(3)

    worker = Forked(die, (cord._read,))
    os.waitpid(worker.pid, 0)
    assert not worker.is_all_gone(0)
    assert not cord.tie_to(worker.pid)
    cord.pull()
    assert worker.is_all_gone(2)
    cord.close()


DYING_PARENT = """
import os, signal, subprocess, sys
from phalanx._platform.lifelines import Cord, Lifeline
cord = Cord()
pid = os.fork()
if not pid:
    lifeline = Lifeline(os.dup(number))
    lifeline.tie()
    subprocess.Popen(["sleep", "60"])
    os._exit(3)
os.waitpid(pid, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_dead_worker_left_ends_with_a_parent_that_never_noticed() -> None:
    # The cord's ends would be closed in the forked process: there it is a copy that is tied.
    script = DYING_PARENT.replace("pid = os.fork()", "number = os.dup(cord._read.number)\npid = os.fork()")
    script = script.replace("os.waitpid(pid, 0)\n", "os.close(number)\nos.waitpid(pid, 0)\n")
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert select.select([parent.stdout], [], [], PATIENCE)[0]
    assert parent.stdout.read() == b""
    assert parent.wait() == -signal.SIGKILL
    parent.stdout.close()


def test_workers_raise_their_oom_score(start_method: str) -> None:
    from phalanx import Pool

    with Pool(1, start_method=start_method) as pool:
        [mine] = pool.map(read_oom_score, ["self"])
    assert int(mine) > int(read_oom_score("self"))


def read_oom_score(who: str) -> str:
    with open(f"/proc/{who}/oom_score_adj") as file:
        return file.read()


def test_a_refused_oom_score_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_OOM_SCORE", "/nowhere")
    assert processes.raised_oom_score() == b""
    processes.offer_to_oom_killer(b"")
    processes.offer_to_oom_killer(b"300")


def test_what_is_let_go_may_be_pulled_again() -> None:
    cord = Cord()
    cord.close()
    cord.pull()
    cord.close()
