"""However a program ends, and whatever it leaves undone: soon nothing is left, and nobody complains."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
from pathlib import Path

import pytest

from tests.promises.programs import PATIENCE, Program, program

WAYS = {
    "the end of the file": ("", 0),
    "an exception": ("raise LookupError('the one')", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "garbage": ("import gc; del pool, result; gc.collect()", 0),
    "os._exit": ("os._exit(4)", 4),
}


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def left_files(parent: Program) -> list[str]:
    return [str(path) for path in parent.folder.rglob("*")]


@pytest.mark.parametrize("way", WAYS)
def test_ends_with_work_outstanding(start_method: str, way: str, tmp_path: Path) -> None:
    definitions = """
    def task(seconds):
        ready()
        time.sleep(seconds)
    """
    code, status = WAYS[way]
    main = f"""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    pool = Pool(2, start_method=METHOD)
    result = pool.map_async(task, [600] * 4, 1)
    signal.sigwait([signal.SIGUSR1])
    {code}
    """
    before = shared_memory()
    with program(tmp_path, definitions, main, start_method) as parent:
        parent.line()
        parent.line()
        os.kill(parent.pid, signal.SIGUSR1)
        if way != "os._exit":
            assert parent.process.wait(5) == status
        assert parent.is_all_gone(5)
        returned, errors = parent.end()
        assert returned == status
        if way == "an exception":
            assert errors.count("Traceback") == 1
            assert errors.endswith("LookupError: the one\n")
        else:
            assert errors == ""
        if (start_method, way) != ("forkserver", "os._exit"):  # the standard library leaves its socket
            assert left_files(parent) == []
    assert shared_memory() <= before


# Seconds from before the call.
MOMENTS = [0.0, 0.003, 0.02, 0.1]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("whom", ["parent", "group"])
def test_an_interrupt_ends_a_map_with_one_traceback(
    start_method: str, whom: str, moment: float, tmp_path: Path
) -> None:
    definitions = """
    def task(x):
        time.sleep(0.0005)
        return x
    """
    main = f"""
    with Pool(2, start_method=METHOD) as pool:
        threading.Timer({moment}, ready).start()
        pool.map(task, range(1_000_000))
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        parent.line()
        if whom == "group":
            os.killpg(parent.pid, signal.SIGINT)
        else:
            os.kill(parent.pid, signal.SIGINT)
        assert parent.is_all_gone()
        status, errors = parent.end()
        assert status == -signal.SIGINT
        assert errors.count("Traceback") == 1, errors
        assert errors.endswith("KeyboardInterrupt\n"), errors
        assert left_files(parent) == []


def read_until(terminal: int, wanted: bytes, heard: bytes = b"") -> bytes:
    """What the program has written, up to this, or to its end."""
    while wanted not in heard:
        assert select.select([terminal], [], [], PATIENCE)[0], heard
        try:
            heard += os.read(terminal, 4096)
        except OSError:  # so ends a terminal that nobody holds any more
            break
    return heard


def test_on_a_terminal_workers_write_and_an_interrupt_is_the_parents(
    start_method: str, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(TERMINAL.replace("METHOD", repr(start_method)))
    pid, terminal = pty.fork()
    if not pid:
        plain = {**os.environ, "NO_COLOR": "1"}
        os.execve(sys.executable, [sys.executable, "-W", "ignore", str(script)], plain)
    try:
        heard = read_until(terminal, b"written by worker 1", read_until(terminal, b"written by worker 2"))
        os.write(terminal, b"\x03")
        heard = read_until(terminal, b"the end", heard)
        assert heard.count(b"Traceback") == 1, heard
        assert heard.rstrip().endswith(b"KeyboardInterrupt"), heard
    finally:
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGINT


TERMINAL = """
import time
from phalanx import Pool

def task(x):
    print("written by worker", x, flush=True)
    time.sleep(600)

if __name__ == "__main__":
    with Pool(2, start_method=METHOD) as pool:
        pool.map(task, [1, 2], 1)
"""


@pytest.mark.parametrize("end", ["told", "recycled", "killed"])
def test_a_workers_end_deletes_nothing_of_the_parents(start_method: str, end: str, tmp_path: Path) -> None:
    definitions = """
    def task(x):
        if x:
            os.kill(os.getpid(), x)
    """
    main = f"""
    import atexit, weakref
    kept = tempfile.TemporaryDirectory()
    atexit.register(ready, "handler of the parent")
    options = dict(maxtasksperchild=1) if {end!r} == "recycled" else dict()
    with Pool(2, start_method=METHOD, **options) as pool:
        pool.map(task, [0] * 4, 1)
        if {end!r} == "killed":
            try:
                pool.map(task, [signal.SIGKILL, signal.SIGTERM], 1)
            except Exception:
                pass
            pool.map(task, [0] * 4, 1)
        pool.close()
        pool.join()
    ready(os.path.isdir(kept.name))
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        assert parent.line() == ["True"]
        assert parent.line() == ["handler", "of", "the", "parent"]
        assert parent.end() == (0, "")
        assert parent.is_all_gone()
        assert left_files(parent) == []
        assert parent.rest() == ""


# A refusal must be one clear error for the caller. Everything is loaded before it: who is nobody may not be
# allowed to read the interpreter's files.
HELD_BACK = """
import resource
import phalanx.errors

def limit(what, number):
    if what == resource.RLIMIT_NPROC and not os.getuid():
        os.setuid(65_531)  # root may have as many processes as it likes
    resource.setrlimit(what, (number, resource.getrlimit(what)[1]))

def try_it(use, *args):
    try:
        ready(*use(*args))
    except Exception as error:
        ready(type(error).__name__, error)

def use_another(method):
    with Pool(2, start_method=method) as other:
        return other.map(abs, [-1, -2], 1)

def leave(_):
    os._exit(5)
"""


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_no_processes_to_be_had_is_one_error(start_method: str, tmp_path: Path) -> None:
    main = """
    try_it(use_another, METHOD)
    phalanx.errors.WorkerStartFailed
    limit(resource.RLIMIT_NPROC, 0)
    try_it(use_another, METHOD)
    """
    with program(tmp_path, HELD_BACK, main, start_method) as parent:
        assert parent.line() == ["1", "2"]
        words = parent.line()
        assert words[-3:] == ["Resource", "temporarily", "unavailable"], words
        assert parent.end() == (0, "")
        assert parent.is_all_gone()


REFUSING = """
import os

def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")

os.fork = refuse
"""


def test_a_fork_server_that_cannot_fork_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "refusing.py").write_text(REFUSING)
    main = """
    from multiprocessing import set_forkserver_preload
    set_forkserver_preload(["refusing"])
    os.environ["PYTHONPATH"] = os.path.dirname(__file__)  # older servers know no other path
    try_it(use_another, METHOD)
    """
    with program(tmp_path, HELD_BACK, main, "forkserver") as parent:
        words = parent.line()
        assert words[0] == "WorkerStartFailed"
        assert "the fork server ended" in " ".join(words)
        assert parent.end()[0] == 0
        assert parent.is_all_gone()


def test_no_descriptors_left_is_one_error_and_harms_no_other_pool(start_method: str, tmp_path: Path) -> None:
    main = """
    pool = Pool(1, start_method=METHOD)
    pool.map(abs, [1])
    limit(resource.RLIMIT_NOFILE, os.open("/dev/null", os.O_RDONLY))
    try_it(use_another, METHOD)
    ready(*pool.map(abs, [-1, -2]))
    pool.terminate()
    """
    with program(tmp_path, HELD_BACK, main, start_method) as parent:
        words = parent.line()
        assert words[-4:] == ["Too", "many", "open", "files"], words
        assert parent.line() == ["1", "2"]
        assert parent.end() == (0, "")
        assert parent.is_all_gone()


def test_no_descriptors_left_for_a_replacement_is_one_error(start_method: str, tmp_path: Path) -> None:
    main = """
    pool = Pool(1, start_method=METHOD)
    pool.map(abs, [1])
    limit(resource.RLIMIT_NOFILE, os.open("/dev/null", os.O_RDONLY))
    try_it(pool.map, leave, [1])
    try_it(pool.map, abs, [-1, -2], 1)
    pool.terminate()
    """
    with program(tmp_path, HELD_BACK, main, start_method) as parent:
        assert parent.line()[0] == "WorkerLost"
        words = parent.line()
        # What the dead worker had is enough for one that is forked.
        assert words == ["1", "2"] or words[-4:] == ["Too", "many", "open", "files"], words
        assert parent.end() == (0, "")
        assert parent.is_all_gone()


def test_shared_memory_that_has_no_name_may_be_forbidden(start_method: str, tmp_path: Path) -> None:
    main = """
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")
    os.memfd_create = refuse
    with Pool(2, start_method=METHOD) as pool:
        ready(*pool.map(abs, [-1, -2]))
    """
    with program(tmp_path, "", main, start_method) as parent:
        assert parent.line() == ["1", "2"]
        assert parent.end() == (0, "")
        assert parent.is_all_gone()
        assert left_files(parent) == []
