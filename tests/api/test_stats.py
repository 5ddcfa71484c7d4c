"""`stats()`: what was done, and what was moved for it."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from phalanx import Executor
from phalanx.pool import Pool
from tests.api import tasks
from tests.promises.supervised import Flaky

np = pytest.importorskip("numpy")


def halve(array: Any) -> Any:
    return array[: len(array) // 2].copy()


def test_items_time_and_bytes_are_counted(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        pool.map(tasks.square, range(1000))
        small = pool.stats()
        assert small.items == 1000
        assert 1 <= small.batches <= 1000
        assert 0 < small.seconds < 60
        assert 0 < small.bytes_per_item < 200
        assert small.lent_in == small.lent_out == 0
        pool.map(halve, [np.zeros(1_000_000) for _ in range(4)], chunksize=1)
        large = pool.stats()
    assert large.items == 1004
    # What is taken back from one worker is sent to another, and counted again.
    assert 32_000_000 <= large.lent_in < 65_000_000
    assert 16_000_000 <= large.lent_out < 17_000_000
    assert large.bytes_in - large.lent_in < 100_000
    assert large.bytes_out - large.lent_out < 100_000


def test_what_went_wrong_is_counted(tmp_path: Any) -> None:
    flaky = Flaky(tmp_path, failures=2)
    with Executor(1, retries=2, retry_on=OSError) as executor:
        assert executor.stats().items == 0
        assert executor.submit(flaky, 3).result() == 9
        assert executor.submit(os._exit, 1).exception() is not None
        assert executor.options(timeout=0.05).submit(time.sleep, 60).exception() is not None
        stats = executor.stats()
    assert (stats.retried, stats.lost, stats.stopped) == (2, 1, 1)


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_in_this_process_nothing_is_moved(backend: str) -> None:
    with Pool(1, backend=backend) as pool:
        pool.map(tasks.square, range(100))
        stats = pool.stats()
    assert stats.items == 100
    assert stats.bytes_in == stats.bytes_out == 0
