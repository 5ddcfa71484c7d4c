"""What the workers are given to do. Importable by name, so that every peer can send it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

SKEW_PERIOD = 64
SKEW_FACTOR = 100


def square(x: int) -> int:
    return x * x


def identity(x: int) -> int:
    return x


def burn(loops: int) -> int:
    """Keep a core busy for a fixed amount of work (not of time: a slower clock must show)."""
    total = 0
    for i in range(loops):
        total += i & 7
    return total


def loops_for(seconds: float) -> int:
    """How many loops of `burn` take this long here and now; the fastest of many tries, so that noise only
    makes the items a little longer than asked for."""
    probe = 2_000
    fastest = float("inf")
    for _ in range(200):
        begun = time.perf_counter()
        burn(probe)
        fastest = min(fastest, time.perf_counter() - begun)
    return max(1, round(probe * seconds / fastest))


def skewed(count: int, loops: int) -> list[int]:
    """One item in 64 is a hundred times longer than the others."""
    return [loops * SKEW_FACTOR if i % SKEW_PERIOD == 0 else loops for i in range(count)]


def ends(array: Any) -> float:
    """Look at two elements of a large array."""
    return float(array[0]) + float(array[-1])


def full(megabytes: int) -> Any:
    """A large array of floats."""
    import numpy as np  # what needs no arrays shall not load it

    return np.full(megabytes * 125_000, float(megabytes))


def part_of(array: Any, number: int) -> float:
    """Look at a few elements of an array that many tasks are given."""
    begin = number * 7 % (len(array) - 1000)
    return float(array[begin : begin + 1000].sum())


def total_of(frame: Any) -> float:
    """Look at a data frame."""
    return float(frame["x"].iloc[0]) + len(frame)


def expect(seen: Sequence[object], wanted: Sequence[object]) -> None:
    """A fast wrong answer is no answer."""
    if list(seen) != list(wanted):
        raise AssertionError("wrong results")
