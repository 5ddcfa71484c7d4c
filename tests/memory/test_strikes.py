"""An exception may strike between any two bytecodes: blocks are never lent twice, and nothing is left open."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from phalanx._memory import Depot
from tests.memory.crossing import Crossing

N = 70_000
ROUNDS = 800


class Struck(Exception):
    pass


def strike(number: int, frame: FrameType | None) -> None:
    inner = frame
    while inner is not None:
        # What is raised there (the second is Hypothesis', called by collections) is swallowed by the interpreter,
        # which says so.
        if inner.f_code.co_name in ("__del__", "gc_callback"):
            return
        inner = inner.f_back
    raise Struck


def strike_within(seconds: float) -> None:
    """Not at all, if it is 0."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def strikes() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, strike)
    try:
        yield
    finally:
        strike_within(0)
        signal.signal(signal.SIGALRM, before)


def test_struck_anywhere_no_block_is_lent_to_two() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    chance = random.Random(7)
    crossing = Crossing(Depot(left=lambda: 1 << 40))
    kept: list[tuple[float, Any]] = []
    struck = 0
    with strikes():
        for turn in range(ROUNDS):
            if not turn % 100:  # here nobody tells again what was told to the depot when it was struck
                crossing.close()
                crossing = Crossing(Depot(left=lambda: 1 << 40))
            source = np.full(N, float(turn))
            try:
                strike_within(chance.uniform(0.000_01, 0.000_3))
                loan = crossing.lend(source)
                strike_within(0)
                crossing.announce(loan)
                strike_within(chance.uniform(0.000_01, 0.000_3))
                kept.append((float(turn), crossing.open(loan).load()))
                del kept[: chance.randrange(3)]
                crossing.settle()
                strike_within(0)
            except Struck:
                struck += 1
            loan = None
            for value, arrived in kept:
                assert (arrived == value).all()
    assert struck > ROUNDS // 20
    kept.clear()
    crossing.close()
    del crossing, arrived
    gc.collect()  # the tracebacks of what was struck
    assert len(os.listdir("/proc/self/fd")) <= descriptors
