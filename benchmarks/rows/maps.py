"""Maps: trivial items, items of about 100 µs, and items of very different length."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import Bar, Contender, Params, Row, judge_times
from benchmarks.peers import BARE, MAPPERS, SERIAL, Function, Peer
from benchmarks.tasks import burn, expect, loops_for, skewed, square

Work = Callable[[Params], tuple[Function, Sequence[Any]]]


def _mapping(peer: Peer, work: Work) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        fn, items = work(params)
        wanted = [fn(item) for item in items]
        with peer.mapper() as map_all:

            def play() -> float:
                begun = time.perf_counter()
                results = map_all(fn, items)
                elapsed = time.perf_counter() - begun
                expect(results, wanted)
                return elapsed

            yield play

    return contender


def _all(peers: Mapping[str, Peer], work: Work) -> dict[str, Contender]:
    return {name: _mapping(peer, work) for name, peer in peers.items()}


def _calibrated(item_seconds: float) -> Callable[[bool], dict[str, Any]]:
    return lambda quick: {"quick": quick, "loops": loops_for(item_seconds)}


WITH_SERIAL = {**MAPPERS, "serial": SERIAL}
WITH_BARE = {**WITH_SERIAL, "two bare processes": BARE}

ROWS = (
    Row(
        name="map",
        work="map of x*x over range(200_000)",
        contenders=_all(WITH_SERIAL, lambda _: (square, range(200_000))),
        judge=judge_times,
        bars=(Bar("multiprocessing", 0.75), Bar("mpire", 0.05), Bar("joblib", 0.05)),
    ),
    Row(
        name="balanced",
        work="map of 4,000 items of about 100 µs",
        contenders=_all(WITH_BARE, lambda params: (burn, [params["loops"]] * 4_000)),
        judge=judge_times,
        bars=(Bar("serial", 1.08, scale=0.5, label="serial ÷ 2"),),
        prepare=_calibrated(100e-6),
    ),
    Row(
        name="skewed",
        work="map of 1,280 items of 0.2 ms, every 64th 20 ms",
        contenders=_all(WITH_BARE, lambda params: (burn, skewed(1_280, params["loops"]))),
        judge=judge_times,
        bars=(Bar("serial", 1.04, scale=0.5, label="serial ÷ 2"),),
        prepare=_calibrated(200e-6),
    ),
)
