"""What a worker is to `multiprocessing`, and how it ends."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import weakref
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

import pytest

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import WorkerStarted
from phalanx._launch.context import preload
from tests.launch.crew import crew

POOL_NAMES = {"fork": "ForkPoolWorker", "spawn": "SpawnPoolWorker", "forkserver": "ForkServerPoolWorker"}


def introduce(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    assert parent is not None
    facts = {
        "name": me.name,
        "identity": me._identity,
        "told": [identity.name, identity.ordinal],
        "daemon": me.daemon,
        "parent": parent.pid,
        "parent name": parent.name,
        "parent alive": parent.is_alive(),
        "pid": [me.pid, os.getpid()],
        "stdin": sys.stdin.read(),
        "interrupts": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "terminate": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "held back": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "wakeup": signal.set_wakeup_fd(-1),
        "method": multiprocessing.get_start_method(),
        "main": threading.current_thread() is threading.main_thread(),
    }
    with sock:
        sock.sendall(json.dumps(facts).encode())


def ask(method: str, **start: Any) -> dict[str, Any]:
    with crew(method, introduce) as workers:
        workers.start(0, **start)
        facts: dict[str, Any] = json.loads(workers.read_to_the_end(0))
        facts["reported"] = workers.wait_for(0, WorkerStarted).pid
    return facts


def test_worker_is_a_pool_worker_to_multiprocessing(start_method: str) -> None:
    before = multiprocessing.Process()._identity[-1]
    facts = ask(start_method)
    assert facts["identity"] == [before + 1]
    assert facts["name"] == f"{POOL_NAMES[start_method]}-{before + 1}"
    assert facts["told"] == [facts["name"], before + 1]
    assert facts["daemon"]
    assert (facts["parent"], facts["parent name"], facts["parent alive"]) == (
        os.getpid(),
        "MainProcess",
        True,
    )
    assert facts["pid"] == [facts["reported"]] * 2
    assert facts["stdin"] == ""
    assert facts["method"] == start_method
    assert facts["main"]


def test_name_and_number_may_be_given(start_method: str) -> None:
    facts = ask(start_method, name="Crunch-7", ordinal=7)
    assert (facts["name"], facts["identity"]) == ("Crunch-7", [7])


def test_signals_are_settled(start_method: str) -> None:
    def handler(signum: int, frame: object) -> None: ...

    previous = signal.signal(signal.SIGTERM, handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1} if start_method == "fork" else ())
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write)
    try:
        facts = ask(start_method)
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, previous)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.close(read)
        os.close(write)
    assert facts["interrupts"]
    assert facts["terminate"]
    assert facts["held back"] == []
    assert facts["wakeup"] == -1


def note(path: str, word: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{word}\n")


class Precious:
    pass


def end_with_handlers(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    (path,) = setup.initargs
    atexit.register(note, path, "own atexit")
    precious = Precious()
    weakref.finalize(precious, note, path, "own finalize")
    util.Finalize(None, note, (path, "own Finalize"), exitpriority=1)
    threading.Thread(target=lambda: note(path, "own thread")).start()
    sock.close()


def test_own_exit_handlers_run_once_and_inherited_ones_never(start_method: str, tmp_path: Path) -> None:
    path = str(tmp_path / "handlers")
    precious = Precious()
    finalizer = weakref.finalize(precious, note, path, "inherited finalize")
    inherited = util.Finalize(None, note, (path, "inherited Finalize"), exitpriority=1)
    atexit.register(note, path, "inherited atexit")
    try:
        with tempfile.TemporaryDirectory() as folder:
            with crew(start_method, end_with_handlers, (path,)) as workers:
                workers.start(0)
                assert workers.ended(0).status == 0
            assert os.path.isdir(folder)
    finally:
        atexit.unregister(note)
        finalizer.detach()
        inherited.cancel()
    assert sorted(Path(path).read_text().splitlines()) == [
        "own Finalize",
        "own atexit",
        "own finalize",
        "own thread",
    ]


def wait_for_the_end(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    with sock:
        sock.recv(1)


def test_a_kill_that_comes_while_the_worker_is_being_started_is_not_lost(start_method: str) -> None:
    with crew(start_method, wait_for_the_end) as workers:
        # Another thread's, before `start` has got anywhere.
        workers.launcher.kill(0, signal.SIGKILL)
        workers.launcher.kill(0, signal.SIGCONT)  # what comes behind it changes nothing
        workers.start(0)
        assert workers.ended(0).status == -signal.SIGKILL


def say_and_fail(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> None:
    sock.close()
    print("said in the worker")
    raise ValueError("gone wrong")


# Not under forkserver: there, workers write to where the fork server did when it was started.
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_failing_entry_is_exit_code_one_with_traceback_and_flushed_output(
    start_method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    print("said in the parent")
    with crew(start_method, say_and_fail) as workers:
        workers.start(0)
        assert workers.ended(0).status == 1
    out, err = capfd.readouterr()
    assert out.count("said in the worker") == 1
    assert out.count("said in the parent") == 1
    assert "ValueError: gone wrong" in err
    assert "nursery.py" not in err


def test_what_cannot_be_pickled_is_said_at_start() -> None:
    with crew("spawn", introduce, (lambda: None,)) as workers:
        with pytest.raises((pickle.PicklingError, AttributeError)):
            workers.start(0)
        workers.ends.pop(0).close()


def test_the_fork_server_loads_what_workers_need_before_it_forks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = forkserver.ForkServer()
    monkeypatch.setattr(forkserver, "_forkserver", server)
    preload("one", "other")
    preload("one")
    assert sorted(server._preload_modules) == ["__main__", "one", "other"]
    server._forkserver_pid = 1  # it is up: too late
    server._preload_modules = ["__main__"]
    preload("one")
    assert server._preload_modules == ["__main__"]
