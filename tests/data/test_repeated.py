"""One large argument of many tasks crosses once, not with each batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from phalanx import Executor, Pool
from phalanx import map as phalanx_map

SIZE = 1 << 20


def total(array: Any, number: int) -> float:
    array += 1  # its own, as after any pickling
    return float(array[0]) + number


def total_of_pair(pair: tuple[Any, int]) -> float:
    return float(pair[0][0]) + pair[1]


@pytest.mark.parametrize("call", ["map", "starmap", "map_async"])
def test_a_repeated_item_is_copied_once(call: str) -> None:
    array = np.zeros(SIZE // 8)
    pairs = [(array, number) for number in range(40)]
    with Pool(2, start_method="fork") as pool:
        if call == "starmap":
            results = pool.starmap(total, pairs, 1)
            expected = [1.0 + number for number in range(40)]
        else:
            results = getattr(pool, call)(total_of_pair, pairs, 1)
            results = results.get() if call == "map_async" else results
            expected = [float(number) for number in range(40)]
        assert results == expected
        stats = pool.stats()
        assert stats.batches >= 40  # what is taken back from one worker is sent to another
        assert stats.lent_in == SIZE
        again = pool.map(total_of_pair, pairs, 1)
        assert again == [float(number) for number in range(40)]


def test_a_changed_array_is_another_one_in_the_next_call() -> None:
    array = np.zeros(SIZE // 8)
    with Pool(1, start_method="fork") as pool:
        assert pool.map(total_of_pair, [(array, 0)] * 3, 1) == [0.0] * 3
        array += 5
        assert pool.map(total_of_pair, [(array, 0)] * 3, 1) == [5.0] * 3


def test_a_generator_may_use_its_array_again() -> None:
    """Only of a sequence it is certain that the same object is the same data."""
    array = np.zeros(SIZE // 8)

    def pairs() -> Any:
        for number in range(5):
            array[:] = number
            yield array.copy(), 0
            yield array, 0

    with Pool(1, start_method="fork") as pool:
        seen = list(pool.imap(total_of_pair, pairs(), 1))
    assert seen[::2] == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_what_a_partial_holds_is_sent_once_to_each_worker(start_method: str) -> None:
    array = np.ones(SIZE // 8)
    with Pool(2, start_method=start_method) as pool:
        assert pool.map(partial(np.dot, array), [2.0] * 40, 1)[0][0] == 2.0
        stats = pool.stats()
        assert stats.bytes_in < 3 * SIZE
        assert stats.bytes_in - stats.lent_in < SIZE // 10, "and lies in a block, which the workers map"


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_what_a_function_from_here_holds_is_lent_too(start_method: str) -> None:
    array = np.arange(SIZE / 8)

    def nth(index: int) -> float:
        array[0] += 1  # the worker's own, as after ordinary pickling
        return float(array[index])

    with Pool(2, start_method=start_method) as pool:
        assert pool.map(nth, range(5, 45), 1) == list(range(5, 45))
        array[:] = -1
        assert pool.map(nth, [7]) == [-1.0], "what it was when it was sent"
        array[:] = 1
        assert pool.map(nth, [7]) == [1.0]
        stats = pool.stats()
        assert stats.bytes_in - stats.lent_in < SIZE // 10
    assert array[0] == 1


def test_what_a_function_holds_goes_back_when_its_call_has_ended() -> None:
    with Executor(1, start_method="fork") as executor:
        for number in range(10):
            assert next(executor.map(partial(np.dot, np.full(SIZE // 8, number)), [1.0]))[0] == number
        executor.submit(abs, 1).result()  # before which the worker forgets it
        executor.submit(abs, 1).result()
        depot = executor._shut.session.packer.lending.depot  # type: ignore[union-attr]
        assert depot.lent_bytes == 0


def test_one_call_repeats_it_too() -> None:
    array = np.zeros(SIZE // 8)
    assert phalanx_map(total_of_pair, [(array, number) for number in range(8)], workers=2) == list(range(8))
