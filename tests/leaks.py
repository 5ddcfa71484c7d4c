"""What a test leaves behind: processes, threads, descriptors, shared memory.

`Snapshot.take()` before, `left_behind(before)` after.  What is on its way out gets two seconds, waited
for where there is something to wait on.  The standard library's own resource tracker, fork server and
shared heap, and our guard, live as long as the interpreter and do not count; they are identified by their process ids
and descriptors, not by what they look like.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import psutil
import pytest

from phalanx._launch.guarding import guard

PATIENCE = 2.0
KINDS = ("processes", "threads", "descriptors", "shm")

GONE = (psutil.Error, OSError)

# What glibc's `sem_open` calls a semaphore until it is whole: a process that is killed in between leaves it behind.
# Whose that was, nothing tells, and tests of other interpreters run beside these.
_UNFINISHED_SEMAPHORE = re.compile(r"sem\.\w{6}")


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment: each kind maps what identifies a thing to its description."""

    processes: dict[tuple[int, float], str]
    threads: dict[tuple[int, int], str]
    descriptors: dict[tuple[int, str], str]
    shm: dict[tuple[str, int], str]

    @classmethod
    def take(cls) -> Snapshot:
        processes = {(p.pid, started(p)): "" for p in kin()}
        return cls(processes, _threads(), _descriptors(), _shm())


def left_behind(before: Snapshot, patience: float = PATIENCE, allowed: Iterable[str] = ()) -> list[str]:
    """What is here now, was not `before` and does not go within `patience` seconds, one line each."""
    deadline = time.monotonic() + patience
    multiprocessing.active_children()  # reaps standard processes that have ended
    while True:
        lines = dict(_difference(before, set(allowed)))
        if not lines or time.monotonic() >= deadline:
            return [f"{kind}: {line}" for kind, found in lines.items() for line in found]
        # Only now: a collection after every test would cost more than the tests.
        gc.collect()
        _wait_a_little(before, deadline)
        multiprocessing.active_children()


def _difference(before: Snapshot, allowed: set[str]) -> Iterator[tuple[str, list[str]]]:
    # No Snapshot.take(): descriptions of processes are only needed, and only made, for what is new.
    processes = [p for p in kin() if (p.pid, started(p)) not in before.processes]
    threads, descriptors, shm = _threads(), _descriptors(), _shm()
    new_shm = _ours({name for name, inode in shm.keys() - before.shm.keys()})
    found = {
        "processes": [_describe(process) for process in processes],
        "threads": [line for key, line in threads.items() if key not in before.threads],
        "descriptors": [line for key, line in descriptors.items() if key not in before.descriptors],
        "shm": [line for key, line in shm.items() if key not in before.shm and key[0] in new_shm],
    }
    yield from ((kind, lines) for kind, lines in found.items() if lines and kind not in allowed)


def _wait_a_little(before: Snapshot, deadline: float) -> None:
    """Wait on one of the things that should end; a short pause when there is nothing to wait on."""
    slice_ = max(0.0, min(0.05, deadline - time.monotonic()))
    for thread in threading.enumerate():
        if _thread_key(thread.ident or 0, thread) not in before.threads:
            thread.join(slice_)
            return
    new = [process for process in kin() if (process.pid, started(process)) not in before.processes]
    if new:
        psutil.wait_procs(new, timeout=slice_)
    else:
        time.sleep(slice_)


# -- processes


def kin() -> list[psutil.Process]:
    """Our descendants, and orphans of theirs, but not the standard library's two servants, nor the guard."""
    servants = {resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid, guard.pid}
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for pid in _writers_to_our_capture() - found.keys():
        with suppress(*GONE):
            found[pid] = psutil.Process(pid)
    return [process for pid, process in found.items() if pid not in servants and pid != os.getpid()]


def _writers_to_our_capture() -> set[int]:
    """Processes whose output goes to the nameless file into which pytest captures ours.

    That is how an orphan is known, whoever has adopted it. Without capturing (``-s``) there is no such file.
    """
    capture = {_target("self", 1), _target("self", 2)}
    capture = {target for target in capture if target.endswith(" (deleted)")}
    if not capture:
        return set()
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return {int(pid) for pid in pids if _target(pid, 1) in capture or _target(pid, 2) in capture}


def _target(pid: str, descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return ""


def started(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except GONE:
        return 0.0


def _describe(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline())
    except GONE:  # zombies have none
        command = ""
    try:
        return f"pid {process.pid} ({process.status()}, parent {process.ppid()}): {command or process.name()}"
    except GONE:
        return f"pid {process.pid}, which has just gone"


# -- threads


def _threads() -> dict[tuple[int, int], str]:
    """Every thread that runs Python code, those of `_thread` included."""
    known = {thread.ident: thread for thread in threading.enumerate()}
    found = {}
    for ident in sys._current_frames():
        thread = known.get(ident)
        found[_thread_key(ident, thread)] = repr(thread) if thread else f"thread {ident}, not of threading"
    return found


def _thread_key(ident: int, thread: threading.Thread | None) -> tuple[int, int]:
    # Idents are used again; the thread object tells two of them apart.
    is_stranger = thread is None or isinstance(thread, threading._DummyThread)
    return ident, 0 if is_stranger else id(thread)


# -- descriptors


def _descriptors() -> dict[tuple[int, str], str]:
    servants = {resource_tracker._resource_tracker._fd, forkserver._forkserver._forkserver_alive_fd}
    servants |= {each.number for each in (guard.end, guard._pidfd) if each is not None}
    heap_files = _heap_files()
    found = {}
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        # The descriptor of this very listing is closed by now and has no target.
        target = _target("self", descriptor)
        if target and target not in heap_files and descriptor not in servants:
            found[descriptor, target] = f"{descriptor} -> {target}"
    return found


def _heap_files() -> set[str]:
    """The nameless files behind `Value` and `Array`: kept for the next one; `mmap` opens them again."""
    heap = sys.modules.get("multiprocessing.heap")
    return {_target("self", arena.fd) for arena in heap.BufferWrapper._heap._arenas} if heap else set()


# -- shared memory


def _shm() -> dict[tuple[str, int], str]:
    found = {}
    with suppress(FileNotFoundError), os.scandir("/dev/shm") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found[entry.name, entry.inode()] = f"/dev/shm/{entry.name} ({entry.stat().st_size} bytes)"
    return found


def name_our_semaphores() -> None:
    """Give the standard library's semaphores, here and in children, names that tell whose they are."""
    multiprocessing.current_process()._config["semprefix"] = f"/mp-{os.getpid()}"


def _ours(names: set[str]) -> set[str]:
    """The names that are not another program's: those of this machine come and go as they like.

    What our family maps is ours. A semaphore says so in its name. Anything else is ours unless a
    stranger maps it.
    """
    if not names:
        return set()
    family = {os.getpid(), *(process.pid for process in kin())}
    ours, strangers = set(), set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        (ours if pid in family else strangers).update(_mapped(pid) & names)
    unknown = {name for name in names - ours - strangers if not _UNFINISHED_SEMAPHORE.fullmatch(name)}
    return ours | {
        n for n in unknown if not n.startswith("sem.mp-") or n.startswith(f"sem.mp-{os.getpid()}-")
    }


def _mapped(pid: int) -> set[str]:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return {line.rpartition("/dev/shm/")[2] for line in maps.splitlines() if "/dev/shm/" in line}


# -- the fixture

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fail a test that leaves processes, threads, descriptors or shared memory behind.

    ``@pytest.mark.may_leave("threads", reason=...)`` excuses a kind.  A test that failed is not asked:
    its traceback keeps alive what it held.
    """
    before = Snapshot.take()
    yield
    if request.node.stash.get(_FAILED, True):
        return
    excused = [kind for mark in request.node.iter_markers("may_leave") for kind in mark.args]
    assert set(excused) <= set(KINDS), f"may_leave knows {KINDS}"
    left = left_behind(before, allowed=excused)
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
