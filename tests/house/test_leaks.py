"""The leak fixture itself: it sees what is left, names it, and is not disturbed by what is on its way out."""

from __future__ import annotations

import os
import sys

import pytest

PREAMBLE = """
import multiprocessing, os, signal, subprocess, sys, threading, time, _thread
from multiprocessing import shared_memory
import pytest
from tests import leaks
keep = []
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run test code, in a process of its own, under the leak fixture with a short patience."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    pytester.makeconftest("from tests.conftest import *")
    pytester.makeini("[pytest]\nmarkers = may_leave\n")

    def run(body: str, patience: float = 0.2) -> pytest.RunResult:
        code = f"{PREAMBLE}leaks.left_behind.__defaults__ = ({patience}, ())\n{body}"
        pytester.makepyfile(code)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest")

    return run


def assert_leak(result: pytest.RunResult, *lines: str) -> None:
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines_random([".*left behind:", *lines])


def test_a_clean_test_passes(run) -> None:
    run("""
def test_clean():
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    child.close()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    block = shared_memory.SharedMemory(create=True, size=10)
    block.close()
    block.unlink()
""").assert_outcomes(passed=1)


def test_a_child_is_named_with_its_command(run) -> None:
    result = run("""
def test_leaks():
    keep.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
""")
    assert_leak(result, r".*processes: pid \d+ \(\w+, parent \d+\): .* -c input\(\)")


def test_a_child_that_nobody_reaped_is_a_leak(run) -> None:
    result = run("""
def test_leaks():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    # Kept from the fixture's own waiting, which would reap it.
    leaks.psutil.wait_procs = lambda *args, **kwargs: None
""")
    assert_leak(result, r".*processes: pid \d+ \(zombie, .*")


def test_an_orphan_is_found_whoever_adopted_it(run) -> None:
    result = run("""
def test_leaks():
    reader, writer = os.pipe()
    if not os.fork():
        pid = os.fork()
        if pid:
            os.write(writer, str(pid).encode())
            os._exit(0)
        signal.alarm(5)
        signal.pause()
    os.wait()
    orphan = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    print("orphan", orphan)
""")
    assert_leak(result, r".*processes: pid \d+ \(.*")


@pytest.mark.parametrize("start", ["threading.Thread(target={}, daemon=True, name='stray').start()",
                                   "_thread.start_new_thread({}, ())"])  # fmt: skip
def test_a_thread_is_named(run, start: str) -> None:
    result = run(f"""
begun = threading.Event()

def stay():
    begun.set()
    threading.Event().wait()

def test_leaks():
    {start.format("stay")}
    begun.wait()
""")
    assert_leak(
        result, r".*threads: (<Thread\(stray, started daemon|thread \d+, not of threading|<_DummyThread).*"
    )


def test_a_descriptor_is_named_with_its_target(run) -> None:
    result = run("""
def test_leaks():
    keep.append(open(__file__))
""")
    assert_leak(result, r".*descriptors: \d+ -> /.*\.py")


def test_a_descriptor_that_now_leads_elsewhere_is_new(run) -> None:
    result = run("""
@pytest.fixture(scope="module")
def pipe():
    yield os.pipe()

def test_leaks(pipe):
    file = os.open(__file__, os.O_RDONLY)
    os.dup2(file, pipe[0])
    os.close(file)
""")
    assert_leak(result, r".*descriptors: \d+ -> /.*\.py")


def test_a_block_of_shared_memory_is_named(run) -> None:
    result = run("""
@pytest.fixture(scope="module", autouse=True)
def cleaned():
    yield
    os.unlink("/dev/shm/phalanx-stray-" + str(os.getpid()))

def test_leaks():
    with open("/dev/shm/phalanx-stray-" + str(os.getpid()), "w") as file:
        file.write("0123456789")
""")
    assert_leak(result, r".*shm: /dev/shm/phalanx-stray-\d+ \(10 bytes\)")


def test_a_semaphore_is_known_by_its_name_and_those_of_strangers_are_not_counted(run) -> None:
    result = run("""
@pytest.fixture(scope="module", autouse=True)
def cleaned():
    yield
    os.unlink("/dev/shm/sem.mp-0-stranger")
    os.unlink("/dev/shm/sem.aB3dE6")
    keep.clear()

def test_leaks():
    with open("/dev/shm/sem.mp-0-stranger", "w") as file:
        file.write("0123456789")
    open("/dev/shm/sem.aB3dE6", "w").close()
    keep.append(multiprocessing.get_context("spawn").Semaphore())
""")
    assert_leak(result, r".*shm: /dev/shm/sem.mp-\d+-\w+ \(\d+ bytes\)")
    result.stdout.no_fnmatch_line("*shm:*stranger*")
    result.stdout.no_fnmatch_line("*shm:*aB3dE6*")


def test_what_is_on_its_way_out_gets_the_time_to_go(run) -> None:
    run(
        """
def test_late():
    keep.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.4)"]))
    threading.Thread(target=time.sleep, args=(0.3,)).start()
""",
        patience=5.0,
    ).assert_outcomes(passed=1)


def test_what_only_a_cycle_keeps_is_collected_first(run) -> None:
    run("""
def test_cycle():
    class Cycle: pass
    cycle = Cycle()
    cycle.me = cycle
    reader, writer = os.pipe()
    cycle.ends = open(reader, "rb", buffering=0), open(writer, "wb", buffering=0)
    cycle.ends[0].close()
    cycle.ends[1].close()
    cycle.late = Late(os.open(__file__, os.O_RDONLY))

class Late:
    def __init__(self, fd): self.fd = fd
    def __del__(self): os.close(self.fd)
""").assert_outcomes(passed=1)


def test_what_was_there_before_is_nobodys_leak(run) -> None:
    run("""
@pytest.fixture(scope="module")
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"go")

def test_one(child): pass
def test_two(child): pass
""").assert_outcomes(passed=2)


def test_a_failed_test_is_not_asked(run) -> None:
    run("""
def test_fails():
    keep.append(open(__file__))
    assert False
""").assert_outcomes(failed=1)


def test_an_excused_kind_is_not_reported(run) -> None:
    run("""
@pytest.mark.may_leave("descriptors", reason="to see that it may")
def test_excused():
    keep.append(open(__file__))
""").assert_outcomes(passed=1)


def test_the_standard_librarys_servants_may_stay(run) -> None:
    run("""
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_servants(method):
    context = multiprocessing.get_context(method)
    child = context.Process(target=int)
    child.start()
    child.join()
    child.close()
    lock = context.Lock()
    number = context.Value("i", 1)
    del lock, number
""").assert_outcomes(passed=2)


def test_each_start_method_comes_in_turn(start_method: str, request: pytest.FixtureRequest) -> None:
    assert start_method in request.node.name
