"""What the demo computes from its measurements."""

from __future__ import annotations

import pytest

from phalanx._cli.jobs import primes_between
from phalanx._cli.measurements import Comparison, medians, worker_counts


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])]
)
def test_worker_counts_double_up_to_the_most(most: int, counts: list[int]) -> None:
    assert worker_counts(most) == counts


def test_primes_in_pieces_are_the_primes_of_the_whole() -> None:
    assert primes_between(0, 100) == 25
    assert sum(primes_between(start, start + 10) for start in range(0, 100, 10)) == 25


def comparison(**start: float) -> Comparison:
    return Comparison(workers=2, cpu={}, io={}, start=start, shared={})


def test_the_fastest_route_is_advised() -> None:
    seen = comparison(serial=0.0, threads=0.1, processes=0.2)
    assert seen.fastest({"serial": 4.0, "threads": 4.2, "processes": 2.0}) == "processes"


def test_of_two_close_routes_the_one_that_starts_faster_is_advised() -> None:
    seen = comparison(serial=0.0, threads=0.1, processes=0.2)
    assert seen.fastest({"serial": 9.0, "threads": 1.05, "processes": 1.0}) == "threads"


def test_medians_measures_each_in_turn() -> None:
    order: list[str] = []
    times = medians({name: (lambda name=name: order.append(name)) for name in "ab"})
    assert order == ["a", "b"] * 3
    assert set(times) == {"a", "b"}
