"""The nursery: what it shares, what it outlives and what outlives it."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import psutil
import pytest

from phalanx import Pool
from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import WorkerRefused, WorkerStarted
from phalanx._launch import ForkLauncher
from phalanx._launch.control import ControlEnd
from phalanx._platform.forked import Descriptor
from tests.launch.crew import PATIENCE, crew


def serve(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    with sock:
        while data := sock.recv(100):
            sock.sendall(data)


def tell_memory(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    with sock:
        sock.sendall(setup.initargs[0][0].encode())


def nursery_pid(launcher: Any) -> int:
    return int(launcher._nursery.forks[0])


@pytest.mark.parametrize("begins", [True, False])
def test_all_workers_see_the_memory_of_its_beginning(begins: bool) -> None:
    memory = ["when it was made"]
    with crew("fork", tell_memory, (memory,)) as workers:
        memory[0] = "when it began"
        if begins:
            workers.launcher.begin()  # type: ignore[attr-defined]
            memory[0] = "when it was asked for a worker"
        for worker in range(2):
            workers.start(worker)
            assert workers.read_to_the_end(worker) == "when it began"
            memory[0] = "later"


def test_death_of_the_nursery_ends_its_workers_and_the_next_start_has_a_new_one() -> None:
    with crew("fork", serve) as workers:
        workers.start(0)
        workers.start(1)
        pids = [workers.wait_for(worker, WorkerStarted).pid for worker in (0, 1)]
        old = nursery_pid(workers.launcher)
        os.kill(old, signal.SIGKILL)
        for worker, pid in enumerate(pids):
            assert workers.ended(worker).status is None
            # Whoever adopts orphans may not have reaped it yet.
            assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        workers.start(2).sendall(b"hello")
        assert workers.ends[2].recv(100) == b"hello"
        assert nursery_pid(workers.launcher) != old


def test_a_worker_nobody_heard_of_when_the_nursery_dies_is_reported_too() -> None:
    with crew("fork", serve) as workers:
        workers.launcher.begin()  # type: ignore[attr-defined]
        pid = nursery_pid(workers.launcher)
        os.kill(pid, signal.SIGSTOP)
        workers.start(0)
        os.kill(pid, signal.SIGKILL)
        assert workers.ended(0).status is None
        assert workers.ends[0].recv(100) == b""


def test_stopped_nursery_delays_neither_start_nor_kill_nor_close() -> None:
    pages = None
    launcher = ForkLauncher(serve, WorkerSetup(pages))
    launcher.begin()
    os.kill(nursery_pid(launcher), signal.SIGSTOP)
    ends = []
    for worker in range(600):
        ours, theirs = socket.socketpair()
        ends.append(ours)
        launcher.start(WorkerIdentity(worker, worker, worker), theirs)
        launcher.kill(worker, signal.SIGTERM)
    launcher.close()
    for end in ends:
        end.close()


def test_what_does_not_fit_into_the_control_socket_goes_out_later() -> None:
    with crew("fork", serve) as workers:
        workers.launcher.begin()  # type: ignore[attr-defined]
        pid = nursery_pid(workers.launcher)
        os.kill(pid, signal.SIGSTOP)
        workers.start(0)
        for _ in range(3000):
            workers.launcher.kill(0, 0)
        workers.start(1)
        assert workers.launcher._nursery.control.outbox  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGCONT)
        workers.wait_for(1, WorkerStarted)


def test_a_nursery_that_cannot_be_forked_again_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    with crew("fork", serve) as workers:
        workers.launcher.begin()  # type: ignore[attr-defined]
        os.kill(nursery_pid(workers.launcher), signal.SIGKILL)
        os.waitid(os.P_PID, nursery_pid(workers.launcher), os.WEXITED | os.WNOWAIT)
        workers.launcher.collect()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", refuse)
            workers.start(0)
        assert workers.wait_for(0, WorkerRefused).error.errno == errno.EAGAIN
        workers.start(1)
        workers.wait_for(1, WorkerStarted)


def test_a_first_nursery_that_cannot_be_forked_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    with crew("fork", serve) as workers:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", refuse)
            with pytest.raises(OSError, match="no more processes"):
                workers.launcher.begin()  # type: ignore[attr-defined]
        # What is asked for later may be granted.
        workers.start(0)
        workers.wait_for(0, WorkerStarted)


def test_a_pool_without_a_nursery_raises_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    before = set(os.listdir("/dev/fd"))
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(OSError, match="no more processes"):
        Pool(2, start_method="fork")
    assert set(os.listdir("/dev/fd")) == before


def test_users_forked_child_holds_no_end_of_a_channel() -> None:
    with crew("fork", serve) as workers:
        workers.start(0)
        workers.wait_for(0, WorkerStarted)
        held = [workers.ends[0].fileno(), workers.launcher.fileno()]
        pid = os.fork()
        if not pid:
            try:
                for number in held:
                    try:
                        os.fstat(number)
                        os._exit(1)
                    except OSError:
                        pass
                workers.launcher.kill(0, signal.SIGKILL)
                workers.launcher.close()
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        workers.ends[0].sendall(b"still here")
        assert workers.ends[0].recv(100) == b"still here"


def test_an_interrupt_reaches_neither_nursery_nor_worker() -> None:
    with crew("fork", serve) as workers:
        workers.start(0)
        os.kill(workers.wait_for(0, WorkerStarted).pid, signal.SIGINT)
        os.kill(nursery_pid(workers.launcher), signal.SIGINT)
        workers.ends[0].sendall(b"still here")
        assert workers.ends[0].recv(100) == b"still here"
        workers.start(1)
        workers.wait_for(1, WorkerStarted)


def test_works_from_a_thread() -> None:
    heard: list[bytes] = []

    def use() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, on 3.12 and later
            with crew("fork", serve) as workers:
                workers.start(0).sendall(b"hello")
                heard.append(workers.ends[0].recv(100))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert heard == [b"hello"]


ORPHANS = """
import os, select, signal
from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._launch import ForkLauncher
from phalanx._launch.endpoints import open_pair
from tests.launch.test_fork import nursery_pid, serve

launcher = ForkLauncher(serve, WorkerSetup(None))
end, theirs = open_pair()
launcher.start(WorkerIdentity(0, 0, 0), theirs)
end.sendall(b"hello")
end.recv(100)
while not launcher.news:
    select.select([launcher.fileno()], [], [])
    launcher.collect()
print(nursery_pid(launcher), launcher.news[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_retired_nursery_goes_before_it_is_closed() -> None:
    with crew("fork", serve) as workers:
        workers.start(0).close()
        workers.ended(0)
        pid = nursery_pid(workers.launcher)
        os.kill(pid, signal.SIGSTOP)
        workers.launcher.retire()
        assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_nothing_outlives_a_killed_parent() -> None:
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, cwd=root, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        # End of file: neither the nursery nor the worker, which both inherited it, is there any more.
        assert select.select([parent.stdout], [], [], PATIENCE)[0]
        assert parent.stdout.read() == ""
    assert parent.returncode == -signal.SIGKILL


def test_control_messages_survive_any_cutting() -> None:
    left, right = map(ControlEnd, socket.socketpair())
    read, write = os.pipe()
    try:
        heard: list[tuple[Any, int | None]] = []
        for number in range(5000):
            left.post(("number", number), Descriptor(os.dup(read)) if number % 100 == 0 else None)
        while not left.flush() or len(heard) < 5000:
            right.receive()
            messages, token = right.messages()
            right.consume(token)
            heard += messages
        assert [message for message, _ in heard] == [("number", number) for number in range(5000)]
        passengers = [number for number, (_, passenger) in enumerate(heard) if passenger is not None]
        assert passengers == list(range(0, 5000, 100))
        for _, passenger in heard:
            if passenger is not None:
                assert os.path.sameopenfile(passenger, read)
                os.close(passenger)
        left.close()
        assert not right.receive()
    finally:
        left.close()
        right.close()
        os.close(read)
        os.close(write)
