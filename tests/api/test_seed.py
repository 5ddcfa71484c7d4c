"""Random numbers depend on the seed and the item's place, on nothing else; without a seed all workers differ."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx
from phalanx import Executor, Pool

ITEMS = range(23)


def draw(_: Any) -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(phalanx.worker.rng.random())


def draw_own(_: Any) -> float:
    return float(phalanx.worker.rng.random())


def draw_after(path: str, item: int) -> tuple[float, float, float]:
    """The first try of one item ends its worker in the middle, that of another raises."""
    first = draw(item)
    marker = Path(path, str(item))
    if item in (3, 7) and not marker.exists():
        marker.touch()
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("try again")
    return first


def draw_twice(_: Any) -> tuple[int, float]:
    return os.getpid(), random.random()


def legacy(_: Any) -> tuple[int, float]:
    return os.getpid(), float(np.random.random())


EXPECTED = phalanx.map(draw, ITEMS, backend="serial", seed=42)


def test_serial_draws_what_can_be_computed_by_hand() -> None:
    sequences = np.random.SeedSequence(42).spawn(len(ITEMS))
    assert [own for _, _, own in EXPECTED] == [np.random.default_rng(each).random() for each in sequences]
    assert len({value for values in EXPECTED for value in values}) == 3 * len(ITEMS)


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("chunksize", [None, 1, 5])
def test_any_number_of_workers_and_any_batches(workers: int, chunksize: int | None) -> None:
    assert phalanx.map(draw, ITEMS, workers=workers, chunksize=chunksize, seed=42) == EXPECTED


def test_every_call_that_makes_items(start_method: str) -> None:
    with Pool(2, start_method=start_method, seed=42) as pool:
        assert pool.map(draw, ITEMS) == EXPECTED
        assert list(pool.imap(draw, ITEMS)) == EXPECTED
        assert [pool.apply(draw, (item,)) for item in ITEMS] == EXPECTED
    with Executor(2, start_method=start_method) as executor:
        seeded = executor.options(seed=42)
        assert [future.result() for future in [seeded.submit(draw, item) for item in ITEMS]] == EXPECTED
        assert list(seeded.stream(draw, ITEMS)) == EXPECTED
        assert list(executor.options(seed=(42,)).map(draw, ITEMS)) == EXPECTED
        assert list(executor.options(seed=43).map(draw, ITEMS)) != EXPECTED


def test_other_tries(tmp_path: Path) -> None:
    with Executor(2, seed=42, crash_retries=1, retries=1, retry_on=OSError) as executor:
        assert list(executor.map(draw_after, [str(tmp_path)] * len(ITEMS), ITEMS)) == EXPECTED


def test_threads_have_the_generator() -> None:
    assert phalanx.map(draw_own, ITEMS, backend="threads", workers=3, seed=42) == [
        own for *_, own in EXPECTED
    ]


def test_a_seed_leaves_no_trace() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    phalanx.map(draw, ITEMS, backend="serial", seed=42)
    assert (random.random(), np.random.random()) == expected
    with Pool(2) as pool:
        pool.map(draw, ITEMS, 1)
        with Executor(2, seed=42) as executor:
            list(executor.map(draw, ITEMS))
            unseeded = executor.options(seed=None)
            assert list(unseeded.map(draw, ITEMS)) == EXPECTED  # None: as if not given


@pytest.mark.parametrize("function", [draw_twice, legacy])
def test_without_a_seed_all_workers_differ(function: Any, start_method: str) -> None:
    random.seed(5)
    np.random.seed(5)
    own = {random.random(), float(np.random.random())}
    random.seed(5)
    np.random.seed(5)
    with Pool(3, start_method=start_method, maxtasksperchild=2) as pool:
        drawn = pool.map(function, range(12), 1)
    values = {value for _, value in drawn}
    assert len({pid for pid, _ in drawn}) >= 3
    assert len(values) == 12
    assert not values & own


@pytest.mark.parametrize("seed", ["42", 1.5, [1, "2"], True])
def test_a_wrong_kind_of_seed(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an integer"):
        phalanx.map(abs, [1], seed=seed)


@pytest.mark.parametrize("seed", [-1, [], [1, -2]])
def test_a_wrong_seed(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed must be an integer >= 0"):
        phalanx.map(abs, [1], seed=seed)
