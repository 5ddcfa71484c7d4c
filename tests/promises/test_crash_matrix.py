"""Every way to die at every moment costs the one item, and nothing else: all others end, and the pool is whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from phalanx.errors import WorkerLost
from phalanx.pool import Pool
from tests.api import tasks
from tests.promises.deaths import WAYS, WORDS, Poison, start, work
from tests.promises.supervised import Marker
from tests.promises.tasks import wait_until

POISONED = 25
# Long searches through what is the same code on every interpreter: there only `fork` is gone through.
METHODS = [
    "fork",
    pytest.param("forkserver", marks=pytest.mark.slow),
    pytest.param("spawn", marks=pytest.mark.slow),
]


def is_whole(pool: Pool) -> bool:
    """Whether it has two living workers that work."""

    def look() -> bool:
        assert pool.map(tasks.square, range(8)) == [x * x for x in range(8)]
        handles = pool._pool
        return len(handles) == 2 and all(handle.is_alive() for handle in handles)

    return wait_until(look, 20)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moment", ["unpickling", "running", "pickling", "writing"])
def test_at_an_item(method: str, moment: str, way: str) -> None:
    items: list[Any] = list(range(51))
    items[POISONED] = Poison(moment, way)
    with Pool(2, start_method=method, on_error="collect", chunksize=5) as pool:
        results = pool.map(work, items)
        assert is_whole(pool)
    record = results.pop(POISONED)
    assert results == [x * x for x in range(51) if x != POISONED]
    assert record.index == POISONED
    if way == "sys.exit" and moment != "writing":
        assert isinstance(record.exception, SystemExit)  # as any exception
        return
    error = record.exception
    assert isinstance(error, WorkerLost)
    assert error.index == POISONED
    # It may have been the flusher that wrote: it cannot leave for the worker, which then ends by itself.
    words = "exit code" if (way, moment) == ("sys.exit", "writing") else WORDS[way]
    assert words in (error.reason or "")
    assert error.pid not in (None, 0, os.getpid())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "sys.exit"])
def test_while_it_has_nothing_to_do(method: str, way: str) -> None:
    with Pool(2, start_method=method, on_error="collect") as pool:
        before = {handle.pid for handle in pool._pool}
        assert pool.apply(work, (Poison("idle", way),)) == 625
        assert wait_until(lambda: not all(handle.is_alive() for handle in pool._pool) or before != pids(pool))
        assert pool.map(work, range(50), chunksize=5) == [x * x for x in range(50)]
        assert is_whole(pool)


def pids(pool: Pool) -> set[int]:
    return {handle.pid for handle in pool._pool}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "sys.exit"])
def test_while_it_starts(method: str, way: str, tmp_path: Path) -> None:
    marker = Marker(tmp_path / "starts")
    with Pool(2, initializer=start, initargs=(marker, way), start_method=method, chunksize=5) as pool:
        assert pool.map(work, range(50)) == [x * x for x in range(50)]
        assert wait_until(lambda: is_whole(pool) and marker.count() >= 3)


@pytest.mark.parametrize("method", METHODS)
def test_while_others_write(method: str) -> None:
    items: list[Any] = [bytes([x]) * 400_000 for x in range(50)]
    items[10:10] = [Poison("writing", "SIGKILL")]
    items[30:30] = [Poison("running", "segfault")]
    with Pool(3, start_method=method, on_error="collect", chunksize=1) as pool:
        results = pool.map(double, items)
        assert is_whole_with(pool, 3)
    lost = [results.pop(30), results.pop(10)]
    assert [type(record.exception) for record in lost] == [WorkerLost, WorkerLost]
    assert results == [bytes([x]) * 800_000 for x in range(50)]


def double(item: Any) -> Any:
    return item.act() if isinstance(item, Poison) else item + item


def is_whole_with(pool: Pool, size: int) -> bool:
    def look() -> bool:
        assert pool.map(tasks.square, range(8)) == [x * x for x in range(8)]
        return len(pids(pool)) == size

    return wait_until(look, 20)
