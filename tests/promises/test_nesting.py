"""Pools inside workers work, share what there is, and end with the worker that made them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from phalanx import Executor, Pool, cpu_budget
from phalanx.errors import WorkerLost
from phalanx.pool import ThreadPool
from tests.api.tasks import Door
from tests.promises import nests
from tests.promises.programs import program
from tests.promises.tasks import wait_until

SHARE = "this worker's share of what its pool may use"


def workers_below_us() -> int:
    """A worker is offered to the OOM killer before its parent. What serves them (nursery, guard) is not."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        try:
            found += oom_score(process.pid) > oom_score(process.ppid())
        except (FileNotFoundError, psutil.NoSuchProcess):
            continue
    return found


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_a_pool_in_a_pool_in_a_pool(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        found = pool.starmap(nests.squares_by_depth, [(start_method, 2, 1), (start_method, 2, 5)], 1)
    assert found == [[[1, 4], [4, 9]], [[25, 36], [36, 49]]]


def test_an_executor_in_the_items_of_an_executor(start_method: str) -> None:
    with Executor(2, start_method=start_method) as executor:
        found = list(executor.map(nests.squares_by_executor, [start_method] * 4, range(4)))
    assert found == [[x * x, (x + 1) ** 2, (x + 2) ** 2, x * x] for x in range(4)]


def test_a_worker_has_its_share_from_the_initializer_on(
    start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "2")
    with Pool(2, nests.note_budget, start_method=start_method) as pool:
        for budgets in pool.map(nests.budgets, range(4), chunksize=1):
            assert {(each.number, each.source) for each in budgets} == {(1, SHARE)}
        assert pool.map(nests.default_size, [start_method] * 2, chunksize=1) == [1, 1]
    assert cpu_budget().number == 2


def test_shares_are_rounded_down_and_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "7")
    for size, share in [(1, 7), (2, 3), (3, 2), (7, 1), (9, 1)]:
        with Pool(size) as pool:
            assert pool.apply(nests.budget_number) == share


def test_no_level_of_default_pools_has_more_workers_than_the_budget(
    start_method: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "2")
    with door, Pool(start_method=start_method) as pool:
        items = [(start_method, door, x) for x in range(3)]
        result: Any = pool.starmap_async(nests.squares_by_default, items, 1)
        assert wait_until(lambda: len(door.who_came()) == 2, 20)
        assert workers_below_us() == 2 + 2
        door.open()
        assert result.get(30) == [[0, 1], [10, 11], [20, 21]]


def test_threads_divide_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "8")
    with ThreadPool(2) as pool:
        assert pool.map(nests.budget_number, range(4), chunksize=1) == [4] * 4
        assert pool.map(nests.budget_of_threads_in_threads, [4, 2], chunksize=1) == [[1] * 4, [2] * 2]
        assert pool.map(nests.budget_of_serial, range(2), chunksize=1) == [4, 4]
    assert cpu_budget().number == 8


# They do it while the main thread waits for them.
@pytest.mark.filterwarnings("ignore:workers are forked while other threads:RuntimeWarning")
def test_processes_in_threads_divide_what_the_thread_has(
    start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "2")
    with ThreadPool(2) as pool:
        found = pool.map(nests.budget_of_processes_in_threads, [start_method] * 2, chunksize=1)
    assert found == [1, 1]


def test_serial_items_have_all_that_their_caller_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "8")
    assert nests.budget_of_serial() == 8
    with Executor(backend="serial") as executor:
        assert executor.submit(nests.budget_of_threads_in_threads, 2).result() == [4, 4]
    assert cpu_budget().number == 8


def test_the_death_of_an_inner_worker_is_the_inner_pools_to_tell(start_method: str) -> None:
    with Pool(1, start_method=start_method) as pool:
        with pytest.raises(WorkerLost):
            pool.apply(nests.lose_inner_worker, (start_method,))
        assert pool.apply(nests.squares_by_depth, (start_method, 1, 3)) == [9, 16]


def test_daemons_of_the_standard_library_may_have_our_pools(start_method: str) -> None:
    context: Any = multiprocessing.get_context(start_method)
    ours, theirs = context.Pipe()
    with ours, theirs:
        process = context.Process(target=nests.squares_in_daemon, args=(start_method, theirs), daemon=True)
        process.start()
        theirs.close()
        assert ours.poll(30)
        assert ours.recv() == [0, 1, 4]
        process.join(30)
        assert process.exitcode == 0
        process.close()


NEST = """
def inner():
    ready(os.getpid())
    select.select([], [], [], 600)

def outer():
    ready(os.getpid())
    with Pool(1, start_method=METHOD) as pool:
        pool.apply(inner)
"""


def test_a_killed_worker_takes_its_pools_with_it(start_method: str, tmp_path: Path) -> None:
    main = """
    with Pool(1, start_method=METHOD) as pool:
        try:
            pool.apply(outer)
        except Exception as error:
            ready(type(error).__name__)
            select.select([], [], [], 600)
    """
    with program(tmp_path, NEST, main, start_method) as parent:
        [outer], [inner] = parent.line(), parent.line()
        os.kill(int(outer), signal.SIGKILL)
        assert parent.line() == ["WorkerLost"]
        assert wait_until(lambda: int(inner) not in parent.living(), 2)


def test_a_killed_parent_takes_the_pools_of_its_workers_with_it(start_method: str, tmp_path: Path) -> None:
    main = """
    with Pool(1, start_method=METHOD) as pool:
        pool.apply(outer)
    """
    with program(tmp_path, NEST, main, start_method) as parent:
        parent.line()
        parent.line()
        parent.kill()
        assert parent.is_all_gone()
