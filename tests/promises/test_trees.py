"""Nothing outlives a killed parent, and nothing that a killed worker has started outlives the worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.promises.programs import Program, program
from tests.promises.tasks import wait_until

TREE = """
def start_tree():
    # As a shell does with job control, and the command `timeout`.
    subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600; true"], process_group=0)
    start_tree_in_group()

def start_tree_in_group():
    subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600; true"])
    if not os.fork():
        select.select([], [], [], 600)
"""

# What the only worker does while its parent is killed.
SITUATIONS = {
    "idle": "ready()",
    "in Python": "ready()\n    while True: pass",
    "in C code that keeps the interpreter": "ready()\n    re.match('(a+)+$', 'a' * 60 + 'b')",
    "waiting for ever": "ready()\n    select.select([], [], [], 600)",
    "stopped": "ready()\n    os.kill(os.getpid(), signal.SIGSTOP)",
    "with a tree of processes": "start_tree()\n    ready()",
}


def working(task: str) -> str:
    return f"{TREE}\ndef task(*_):\n    {task}\n"


def wait_until_stopped(pid: int) -> None:
    def is_stopped() -> bool:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"

    assert wait_until(is_stopped)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_killed_parent(start_method: str, situation: str, tmp_path: Path) -> None:
    main = """
    pool = Pool(1, start_method=METHOD)
    ready(pool._pool[0].pid)
    pool.map_async(task, [1])
    select.select([], [], [], 600)
    """
    with program(tmp_path, working(SITUATIONS[situation]), main, start_method) as parent:
        [worker] = parent.line()
        parent.line()
        if situation == "stopped":
            wait_until_stopped(int(worker))
        parent.kill()
        assert parent.is_all_gone()


def test_killed_parent_whose_thread_made_the_pool_and_ended(start_method: str, tmp_path: Path) -> None:
    main = """
    pools = []
    thread = threading.Thread(target=lambda: pools.append(Pool(2, start_method=METHOD)))
    thread.start()
    thread.join()
    pools[0].map(task, [1, 2], 1)
    select.select([], [], [], 600)
    """
    with program(tmp_path, working("ready()"), main, start_method) as parent:
        parent.line()
        parent.line()
        parent.kill()
        assert parent.is_all_gone()


@pytest.mark.parametrize("step", [0, 1, 2, 5, 20])
def test_parent_killed_while_its_workers_start(start_method: str, step: int, tmp_path: Path) -> None:
    """So many milliseconds after they were asked for."""
    main = f"""
    pool = Pool(3, start_method=METHOD)
    select.select([], [], [], {step / 1000})
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with program(tmp_path, "", main, start_method) as parent:
        assert os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
        assert parent.is_all_gone()


def test_parent_killed_while_its_worker_loads_a_long_main_module(tmp_path: Path) -> None:
    definitions = """
    if __name__ != "__main__":
        ready()
        select.select([], [], [], 600)
    """
    main = """
    pool = Pool(1, start_method=METHOD)
    select.select([], [], [], 600)
    """
    with program(tmp_path, definitions, main, "spawn") as parent:
        parent.line()
        parent.kill()
        assert parent.is_all_gone()


@pytest.mark.parametrize("first", ["nursery", "parent"])
def test_nursery_and_parent_killed_together(first: str, tmp_path: Path) -> None:
    main = """
    pool = Pool(2, start_method=METHOD)
    pool.map(task, [1, 2], 1)
    ready(pool._session.engine.launcher._nursery.forks[0])
    select.select([], [], [], 600)
    """
    # Nobody is left then to look for what has gone to another group.
    with program(tmp_path, working("start_tree_in_group()"), main, "fork") as parent:
        pids = [int(parent.line()[0]), parent.pid]
        for pid in pids if first == "nursery" else reversed(pids):
            os.kill(pid, signal.SIGKILL)
        assert parent.is_all_gone()


def test_stopped_nursery_saves_nobody(tmp_path: Path) -> None:
    main = """
    pool = Pool(1, start_method=METHOD)
    pool.map(task, [1], 1)
    ready(pool._session.engine.launcher._nursery.forks[0])
    select.select([], [], [], 600)
    """
    with program(tmp_path, working("start_tree_in_group()"), main, "fork") as parent:
        nursery = int(parent.line()[0])
        os.kill(nursery, signal.SIGSTOP)
        parent.kill()
        assert wait_until(lambda: set(parent.living()) <= {nursery}, 2)
        if parent.living():  # the kernel hangs up on what is stopped and has nobody left to wake it
            os.kill(nursery, signal.SIGCONT)
        assert parent.is_all_gone()


def test_what_a_dead_worker_left_goes_with_its_killed_parent(start_method: str, tmp_path: Path) -> None:
    """Though nobody may have noticed yet that it is dead: an idle pool has no thread."""
    main = """
    pool = Pool(1, start_method=METHOD)
    pool.map(task, [1])
    ready(pool._pool[0].pid)
    select.select([], [], [], 600)
    """
    with program(tmp_path, working("start_tree()"), main, start_method) as parent:
        os.kill(int(parent.line()[0]), signal.SIGKILL)
        parent.kill()
        assert parent.is_all_gone()


def test_a_pool_inside_a_worker_goes_with_the_outermost_parent(start_method: str, tmp_path: Path) -> None:
    definitions = f"""
{TREE}
def task(_):
    start_tree()
    ready()
    select.select([], [], [], 600)

def nest(_):
    Pool(1, start_method="fork").map(task, [1])
"""
    main = """
    Pool(1, start_method=METHOD).map(nest, [1])
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        parent.line()
        parent.kill()
        assert parent.is_all_gone()


# How a worker may end otherwise than as it was told to.
DEATHS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "crashed": "os.kill(os.getpid(), signal.SIGSEGV)",
    "left by itself": "os._exit(0)",
}


def session(parent: Program, leader: int) -> list[int]:
    """Those of its processes that are in this session."""
    return [pid for pid in parent.living() if session_of(pid) == leader]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.mark.parametrize("death", DEATHS)
def test_what_a_worker_started_ends_when_it_dies(start_method: str, death: str, tmp_path: Path) -> None:
    main = """
    pool = Pool(1, start_method=METHOD)
    ready(*pool.map(leader, [1]))
    try:
        pool.map(task, [1])
    except Exception as error:
        ready(type(error).__name__)
    select.select([], [], [], 600)
    """
    definitions = working(f"start_tree()\n    {DEATHS[death]}") + "\ndef leader(_): return os.getpid()\n"
    with program(tmp_path, definitions, main, start_method) as parent:
        leader = int(parent.line()[0])
        assert parent.line() == ["WorkerLost"]
        assert wait_until(lambda: not session(parent, leader), 2)
        parent.kill()
        assert parent.is_all_gone()


@pytest.mark.parametrize("how", ["pool.terminate()", "kill(pool)"])
def test_what_a_worker_started_ends_when_the_pool_kills_it(
    start_method: str, how: str, tmp_path: Path
) -> None:
    definitions = working("start_tree()\n    ready(os.getpid())\n    select.select([], [], [], 600)")
    definitions += "\ndef kill(pool): pool._pool[0].kill()\n"
    main = f"""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    pool = Pool(1, start_method=METHOD)
    pool.map_async(task, [1])
    signal.sigwait([signal.SIGUSR1])
    {how}
    ready()
    select.select([], [], [], 600)
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        leader = int(parent.line()[0])
        os.kill(parent.pid, signal.SIGUSR1)
        parent.line()
        assert wait_until(lambda: not session(parent, leader), 2)


def test_what_workers_started_ends_when_their_nursery_dies(tmp_path: Path) -> None:
    """An idle pool has no thread: until it has noticed, items still go to workers that are lost."""
    main = """
    pool = Pool(2, start_method=METHOD)
    leaders = pool.map(leader, [1, 2], 1)
    ready(*leaders)
    pool.map(task, [1, 2], 1)
    nursery = pool._session.engine.launcher._nursery
    os.kill(nursery.forks[0], signal.SIGKILL)
    os.waitid(os.P_PID, nursery.forks[0], os.WEXITED | os.WNOWAIT)
    while not {worker.pid for worker in pool._pool}.isdisjoint(leaders):
        try:
            pool.map(abs, [-1, -2])
        except WorkerLost:
            pass
    ready(*pool.map(abs, [-1, -2]))
    select.select([], [], [], 600)
    """
    definitions = working("start_tree()") + "\ndef leader(_): return os.getpid()\n"
    definitions += "\nfrom phalanx.errors import WorkerLost\n"
    with program(tmp_path, definitions, main, "fork") as parent:
        leaders = {int(word) for word in parent.line()}
        assert parent.line() == ["1", "2"]
        assert wait_until(lambda: not any(session(parent, leader) for leader in leaders), 2)
        parent.kill()
        assert parent.is_all_gone()


@pytest.mark.parametrize("options", ["", "maxtasksperchild=1, "])
def test_what_a_worker_started_stays_when_it_ends_as_it_was_told(
    start_method: str, options: str, tmp_path: Path
) -> None:
    definitions = """
    def task(_):
        ready(subprocess.Popen(["sleep", "600"]).pid)
    """
    main = f"""
    pool = Pool(1, {options}start_method=METHOD)
    pool.map(task, [1])
    pool.close()
    pool.join()
    ready()
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        started = int(parent.line()[0])
        parent.line()
        parent.process.wait(10)
        assert wait_until(lambda: parent.living() == [started], 2)
        os.kill(started, signal.SIGKILL)


@pytest.mark.parametrize("end", ["worker killed", "parent killed", "terminated"])
def test_shared_memory_of_a_killed_worker_is_cleaned_up(start_method: str, end: str, tmp_path: Path) -> None:
    """That is what the standard library's resource tracker is for: it must outlive the worker."""
    definitions = """
    from multiprocessing import shared_memory

    def task(_):
        memory = shared_memory.SharedMemory(create=True, size=100)
        memory.close()
        start_something()
        ready(os.getpid(), memory.name)

    def start_something():
        subprocess.Popen(["sleep", "600"])
    """
    main = """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    with Pool(1, start_method=METHOD) as pool:
        pool.map(task, [1])
        ready()
        signal.sigwait([signal.SIGUSR1])
    """
    with program(tmp_path, definitions, main, start_method) as parent:
        leader, name = parent.line()
        path = f"/dev/shm/{name}"
        parent.line()
        assert os.path.exists(path)
        if end == "worker killed":
            os.kill(int(leader), signal.SIGKILL)
        if end == "parent killed":
            parent.kill()
        else:
            os.kill(parent.pid, signal.SIGUSR1)
        assert parent.is_all_gone(5)
        assert not os.path.exists(path)
