"""Under fork, one-shot calls send no inputs: their workers were forked when these existed."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

import phalanx
from phalanx.errors import NotSendable, WorkerLost
from phalanx.pool import Pool

LOCK = threading.Lock()


class Stays:
    """Cannot be pickled at all."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        raise AssertionError("an input was pickled")


def number_of(thing: Stays) -> int:
    with thing.lock:
        return thing.number


def add(thing: Stays, other: int) -> int:
    return thing.number + other


def test_a_map_sends_no_items_and_no_function() -> None:
    local = threading.Lock()
    things = [Stays(number) for number in range(200)]

    def function(thing: Stays) -> int:
        with local:
            return number_of(thing)

    assert phalanx.map(function, things, workers=2, start_method="fork") == list(range(200))
    assert phalanx.map(add, things, range(200), workers=2, start_method="fork") == list(range(0, 400, 2))


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_over_a_sequence_sends_none_either(ordered: bool) -> None:
    things = tuple(Stays(number) for number in range(200))
    results = phalanx.stream(number_of, things, workers=2, start_method="fork", ordered=ordered)
    assert sorted(results) == list(range(200))


def test_what_comes_one_by_one_is_sent() -> None:
    with pytest.raises(AssertionError, match="an input was pickled"):
        list(phalanx.stream(number_of, iter([Stays(1)]), workers=1, start_method="fork"))


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_other_workers_are_sent_everything(start_method: str) -> None:
    with pytest.raises(AssertionError, match="an input was pickled"):
        phalanx.map(number_of, [Stays(1)], workers=1, start_method=start_method)
    with pytest.raises(NotSendable):
        phalanx.map(lambda x: (LOCK, x), [LOCK], workers=1, start_method=start_method)


def test_pools_that_exist_are_sent_everything() -> None:
    with Pool(1, start_method="fork") as pool, pytest.raises(AssertionError, match="an input was pickled"):
        pool.map(number_of, [Stays(1)])


def leave_at_three(thing: Stays) -> int:
    if thing.number == 3:
        os._exit(1)
    return thing.number


def test_who_takes_a_dead_workers_place_has_them_too() -> None:
    things = [Stays(number) for number in range(50)]
    results: list[Any] = phalanx.map(
        leave_at_three, things, workers=2, start_method="fork", on_error="collect"
    )
    lost = results.pop(3)
    assert isinstance(lost.exception, WorkerLost)
    assert results == [number for number in range(50) if number != 3]


def use_up(numbers: list[int]) -> int:
    if len(numbers) < 3:
        raise ValueError("used up")
    numbers.pop()
    raise OSError("for once")


def test_what_is_tried_again_is_as_it_was() -> None:
    options: Any = {"workers": 1, "start_method": "fork", "retries": 2, "retry_on": OSError}
    with pytest.raises(OSError, match="for once"):
        phalanx.map(use_up, [[1, 2, 3]], **options)


def test_a_list_that_changes_afterwards_does_not_change_the_stream() -> None:
    items = list(range(100))
    results = phalanx.stream(abs, items, workers=2, start_method="fork")
    items.clear()
    assert list(results) == list(range(100))
