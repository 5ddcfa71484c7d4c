"""Streams: results as they come, and inputs without end."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.measure import Bar, Contender, Params, Report, Row, Sample, Verdict, judge_times
from benchmarks.peers import MAPPERS, WORKERS, Peer, executor_of
from benchmarks.tasks import identity, square

ITEMS = 20_000
LONG, LONG_QUICK = 2_000_000, 400_000
LOOK_EVERY = 10_000
PAUSE = 0.5  # seconds without taking a result: time enough to read ahead as far as it ever would
RSS_BAR_MB = 20.0
AHEAD_BAR = 50_000  # items; any bound that does not grow with the input would do, this one is 2.5 % of it

Unordered = Callable[[Any], Callable[[], Iterable[int]]]


def _streaming(peer: Peer, bind: Unordered) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        wanted = sum(x * x for x in range(ITEMS))
        with peer.open() as pool:
            results = bind(pool)

            def play() -> float:
                begun = time.perf_counter()
                total = sum(results())
                elapsed = time.perf_counter() - begun
                if total != wanted:
                    raise AssertionError("wrong results")
                return elapsed

            yield play

    return contender


def _imap_unordered(pool: Any) -> Callable[[], Iterable[int]]:
    return lambda: pool.imap_unordered(square, range(ITEMS))


def _executor_map(executor: Any) -> Callable[[], Iterable[int]]:
    return lambda: executor.map(square, range(ITEMS))


OTHERS = {
    "multiprocessing": _streaming(MAPPERS["multiprocessing"], _imap_unordered),
    "concurrent.futures": _streaming(MAPPERS["concurrent.futures"], _executor_map),
    "mpire": _streaming(MAPPERS["mpire"], _imap_unordered),
    "pebble": _streaming(MAPPERS["pebble"], lambda pool: lambda: pool.map(square, range(ITEMS)).result()),
}


class Supply:
    """An input that counts how far it was read, and remembers how far ahead of the consumer that ever was."""

    def __init__(self, items: Iterable[int]) -> None:
        self.items = items
        self.consumed = 0
        self.furthest_ahead = 0

    def __iter__(self) -> Iterator[int]:
        for given, item in enumerate(self.items, 1):
            if given - self.consumed > self.furthest_ahead:
                self.furthest_ahead = given - self.consumed
            yield item


@contextmanager
def endless_input(params: Params) -> Iterator[Callable[[], dict[str, float]]]:
    """Stream a generator of two million items; then take a few results of one that never ends."""
    import phalanx

    count = LONG_QUICK if params["quick"] else LONG
    own = psutil.Process()
    with phalanx.Executor(WORKERS) as executor:
        deque(executor.stream(identity, range(LOOK_EVERY)), maxlen=0)

        def play() -> dict[str, float]:
            supply = Supply(iter(range(count)))
            before = highest = own.memory_info().rss
            begun = time.perf_counter()
            for position, result in enumerate(executor.stream(identity, supply)):
                supply.consumed = position + 1
                if result != position:
                    raise AssertionError("wrong results")
                if position % LOOK_EVERY == 0:
                    highest = max(highest, own.memory_info().rss)
                if position in (LOOK_EVERY, count // 2):
                    time.sleep(PAUSE)
            elapsed = time.perf_counter() - begun - 2 * PAUSE
            if supply.consumed != count:
                raise AssertionError("results are missing")
            taken = list(itertools.islice(executor.stream(identity, itertools.count()), 1_000))
            return {
                "seconds": elapsed,
                "grown": (highest - before) / 1e6,
                "ahead": supply.furthest_ahead,
                "endless": float(taken == list(range(1_000))),
            }

        yield play


def _judge_memory(row: Row, samples: Mapping[str, Sample]) -> Report:
    if trouble := samples.get("phalanx", Sample()).trouble:
        return Report(row.name, row.work, {"phalanx": trouble}, [Verdict("–", "all of it", ok=False)])
    seconds, grown, ahead, endless = (
        samples[f"phalanx.{key}"] for key in ("seconds", "grown", "ahead", "endless")
    )
    worst_growth, worst_ahead = max(grown.values), int(max(ahead.values))
    return Report(
        name=row.name,
        work=row.work,
        cells={"phalanx": f"{seconds.median:.1f} s"},
        verdicts=[
            Verdict(f"+{worst_growth:.1f} MB", f"< {RSS_BAR_MB:.0f} MB more RSS", worst_growth < RSS_BAR_MB),
            Verdict(f"{worst_ahead:,} ahead", f"≤ {AHEAD_BAR:,} items read ahead", worst_ahead <= AHEAD_BAR),
            Verdict("works" if all(endless.values) else "fails", "itertools.count()", all(endless.values)),
        ],
    )


ROWS = (
    Row(
        name="imap_unordered",
        work="imap_unordered of 20,000 trivial items, chunk not given",
        contenders={"phalanx": _streaming(MAPPERS["phalanx"], _imap_unordered), **OTHERS},
        judge=judge_times,
        bars=(Bar("multiprocessing", 1 / 15),),
        rounds=5,
    ),
    Row(
        name="stream",
        work="stream(ordered=False) of 20,000 trivial items, window not given",
        contenders={
            "phalanx": _streaming(
                executor_of(WORKERS),
                lambda executor: lambda: executor.stream(square, range(ITEMS), ordered=False),
            ),
            "multiprocessing": OTHERS["multiprocessing"],
        },
        judge=judge_times,
        bars=(Bar("multiprocessing", 1 / 15, label="multiprocessing's imap_unordered"),),
        rounds=5,
    ),
    Row(
        name="memory",
        work="2,000,000 small items streamed from a generator",
        contenders={"phalanx": endless_input},
        judge=_judge_memory,
        rounds=1,
        quick_rounds=1,
    ),
)
