"""Memory: workers that grow are replaced quietly, items that take too much are stopped, a full machine is spared."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from phalanx import Executor
from phalanx._platform import memory
from phalanx.errors import MemoryLimit
from phalanx.pool import Pool
from tests.api.tasks import pid, square
from tests.promises import supervised
from tests.promises.tasks import Record, wait_until


def test_a_worker_that_has_grown_is_replaced_between_items(start_method: str) -> None:
    with Executor(1, start_method=start_method, max_memory="120MB") as executor:
        small = executor.submit(pid).result()
        assert executor.submit(supervised.keep, 150).result() == small

        def is_replaced() -> bool:
            return executor.submit(supervised.nap, 0.02).result() != small

        assert wait_until(is_replaced, 20)


def test_an_item_that_takes_too_much_is_stopped_and_the_others_have_their_results(start_method: str) -> None:
    with Pool(
        2, start_method=start_method, max_memory="200MB", memory_limit="300MB", on_error="collect"
    ) as pool:
        results: Any = pool.map(supervised.fill_at_seven, range(20), chunksize=5)
        assert pool.map(square, [1, 2]) == [1, 4]
    error = results.pop(7).exception
    assert isinstance(error, MemoryLimit)
    assert (error.index, error.limit) == (7, 300_000_000)
    assert (error.seen or 0) > 300_000_000
    assert "past memory_limit=300 MB" in str(error)
    assert results == [x for x in range(20) if x != 7]


def test_without_a_hard_limit_it_is_twice_the_soft_one() -> None:
    with Executor(1, max_memory="150MB") as executor:
        error = executor.submit(supervised.fill_at_seven, 7).exception()
    assert isinstance(error, MemoryLimit)
    assert error.limit == 300_000_000


def test_while_the_machine_has_no_memory_left_everything_is_done_and_said_once(
    monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Pool(2, max_memory="1GB") as pool:
            assert len(pool.map(supervised.nap, [0.05] * 8, chunksize=1)) == 8
            assert len(pool.map(supervised.nap, [0.05] * 8, chunksize=4)) == 8
            assert pool.map(record, range(20)) == [x * x for x in range(20)]
    assert record.counts() == dict.fromkeys(range(20), 1)
    [warning] = [each for each in caught if "memory" in str(each.message)]
    assert "only 1 KB of memory are left" in str(warning.message)
    assert warning.category is RuntimeWarning, "those of resources are not shown, unless somebody asks for it"
