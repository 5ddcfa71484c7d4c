"""`status()` and `dump_stacks()`: what workers do, without disturbing them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from phalanx import Executor
from phalanx.errors import TaskTimeout
from phalanx.pool import Pool, ThreadPool
from tests.api.tasks import Door, square
from tests.promises import supervised
from tests.promises.tasks import wait_until


def test_each_worker_says_what_it_runs_and_since_when(start_method: str, door: Door) -> None:
    with Executor(2, start_method=start_method) as executor, door:
        assert executor.status() == []
        executor.submit(square, 2).result()
        running = executor.submit(door.pass_through, 1)
        assert wait_until(lambda: len(door.who_came()) == 1)
        at_work = [worker for worker in executor.status() if worker.state == "running"]
        assert [worker.index for worker in at_work] == [1]
        assert 0 <= (at_work[0].seconds or 0.0) < 60
        assert (at_work[0].rss or 0) > 1_000_000
        door.open()
        assert running.result() == 1
        assert {worker.state for worker in executor.status()} <= {"idle", "starting"}
    assert executor.status() == []


def test_items_of_a_map_are_named_by_their_place(door: Door) -> None:
    with Pool(2) as pool, door:
        result = pool.map_async(door.pass_through, range(10, 20), 5)
        assert wait_until(lambda: len(door.who_came()) == 2)
        assert {int(x) - 10 for x in door.who_came()} == {worker.index for worker in pool.status()}
        door.open()
        assert result.get() == list(range(10, 20))


def test_every_worker_shows_its_stack_and_goes_on(start_method: str, door: Door, tmp_path: Path) -> None:
    marker = supervised.Marker(tmp_path / "mark")
    with Executor(2, start_method=start_method) as executor, door:
        in_python = executor.submit(door.pass_through, 1)
        in_c = executor.submit(supervised.sum_up, marker, 60_000_000)
        assert wait_until(lambda: len(door.who_came()) == 1 and marker.count() == 1, 20)
        stacks = executor.dump_stacks()
        assert stacks.keys() == {worker.pid for worker in executor.status()}
        texts = "\n".join(stacks.values())
        assert "in pass_through" in texts
        assert "in sum_up" in texts
        door.open()
        assert in_python.result() == 1
        assert in_c.result() == sum(range(60_000_000))


def test_an_error_says_where_the_item_was(start_method: str) -> None:
    with Executor(1, start_method=start_method, timeout=0.3) as executor:
        # On a busy machine a new interpreter may need the whole timeout to import what the task needs.
        assert executor.options(timeout=None).submit(supervised.compute_in_c_at_seven, 1).result() == 1
        error = executor.submit(supervised.compute_in_c_at_seven, 7).exception()
    assert isinstance(error, TaskTimeout)
    assert "in compute_in_c_at_seven" in (error.stack or "")
    assert "it was at compute_in_c_at_seven" in str(error)


def test_threads_show_their_stacks_too(door: Door) -> None:
    with ThreadPool(1) as pool, door:
        result = pool.apply_async(door.pass_through, (1,))
        assert wait_until(lambda: len(door.who_came()) == 1)
        assert "in pass_through" in "".join(pool.dump_stacks().values())
        assert [worker.index for worker in pool.status()] == [0]
        door.open()
        assert result.get() == 1


@pytest.mark.parametrize("count", [1, 5])
def test_asking_again_and_again_does_no_harm(count: int, tmp_path: Path) -> None:
    with Executor(2) as executor:
        futures = [executor.submit(supervised.nap, 0.02) for _ in range(20)]
        until = time.monotonic() + 10
        while not all(future.done() for future in futures) and time.monotonic() < until:
            for _ in range(count):
                executor.dump_stacks()
                executor.status()
        assert all(future.result() for future in futures)
