"""Large objects: arrays in, arrays out, many middling arrays there and back, one array for all, a data frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.measure import Bar, Contender, Params, Row, judge_times
from benchmarks.peers import MAPPERS, RAY, WORKERS, Function, Mapper, Peer, open_pool
from benchmarks.tasks import ends, expect, full, identity, part_of, total_of

MEGABYTES = 32
ARRAYS = 8
CROSSINGS = 10_000

Look = Callable[[Sequence[Any]], list[float]]


def _mapping(peer: Peer, fn: Function, make: Callable[[Params], Sequence[Any]], look: Look) -> Contender:
    """A map whose results are looked at within the measured time, and let go of after it."""

    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        items = make(params)
        wanted = look([fn(item) for item in items])
        with peer.mapper() as map_all:

            def play() -> float:
                begun = time.perf_counter()
                results = map_all(fn, items)
                seen = look(results)
                elapsed = time.perf_counter() - begun
                expect(seen, wanted)
                return elapsed

            yield play

    return contender


def _arrays(params: Params) -> Sequence[Any]:
    return [full(MEGABYTES) + number for number in range(ARRAYS)]


def _sizes(params: Params) -> Sequence[Any]:
    return [MEGABYTES] * ARRAYS


def _as_they_are(results: Sequence[Any]) -> list[float]:
    return list(results)


def _ends_of_each(results: Sequence[Any]) -> list[float]:
    return [ends(result) for result in results]


def _frame(params: Params) -> Sequence[Any]:
    """About 100 MB: numbers, dates, texts that repeat and texts that do not."""
    import numpy as np
    import pandas as pd

    count = 600_000
    numbers = np.random.default_rng(1).standard_normal((count, 12))
    frame = pd.DataFrame(numbers, columns=list("xabcdefghijk"))
    frame["city"] = np.array(["Jena", "Oslo", "Lima"])[np.arange(count) % 3]
    frame["name"] = [f"row {number}" for number in range(count)]
    frame["day"] = pd.date_range("2000-01-01", periods=count, freq="min")
    return [frame]


@contextmanager
def _copying(params: Params) -> Iterator[Callable[[], float]]:
    """Each array once into memory that was used before."""
    import numpy as np

    arrays = _arrays(params)
    target = np.ones_like(arrays[0])

    def play() -> float:
        begun = time.perf_counter()
        for array in arrays:
            np.copyto(target, array)
        return time.perf_counter() - begun

    yield play


def _map_in_one_call(_: object) -> Mapper:
    import phalanx

    return lambda fn, items: phalanx.map(fn, items, workers=WORKERS, start_method="fork")


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


WHOLE_CALL = Peer(_nothing, _map_in_one_call)


def _do_without_blocks() -> None:
    """Everything crosses inline from now on, in this process."""
    from phalanx._memory import parcels
    from phalanx._worker import outlet

    parcels.THRESHOLD = parcels.LARGE = outlet._LARGE = 1 << 62


@contextmanager
def _pool_without_blocks() -> Iterator[Any]:
    _do_without_blocks()
    with open_pool("phalanx", "Pool", WORKERS, _do_without_blocks) as pool:
        yield pool


def _crossing(open_it: Callable[[], Any]) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        import numpy as np

        # No two neighbours are one object: pickle would send it once.
        arrays = [np.full(12_500, float(number)) for number in range(256)]
        count = CROSSINGS // 10 if params["quick"] else CROSSINGS
        with open_it() as pool:

            def play() -> float:
                begun = time.perf_counter()
                items = (arrays[number % 256] for number in range(count))
                for number, result in enumerate(pool.imap(identity, items, 8)):
                    if result[-1] != number % 256:
                        raise AssertionError("wrong results")
                return time.perf_counter() - begun

            yield play

    return contender


SHARED_TASKS = 1_000


def _given_to_all(megabytes: float, share_it: bool) -> Contender:
    """Tasks that all look into one array, which is there when the measured time begins."""

    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        import numpy as np

        import phalanx

        array = np.ones(round(megabytes * 125_000))
        with open_pool("phalanx", "Pool", WORKERS) as pool:
            fn = partial(part_of, phalanx.share(array) if share_it else array)

            def play() -> float:
                begun = time.perf_counter()
                results = pool.map(fn, range(SHARED_TASKS))
                elapsed = time.perf_counter() - begun
                expect(results, [1000.0] * SHARED_TASKS)
                return elapsed

            play()
            yield play

    return contender


OURS, STANDARD = MAPPERS["phalanx"], MAPPERS["multiprocessing"]

ROWS = (
    Row(
        name="arrays-in",
        work="map of a[0] + a[-1] over eight arrays of 32 MB",
        contenders={
            "phalanx": _mapping(OURS, ends, _arrays, _as_they_are),
            "phalanx.map": _mapping(WHOLE_CALL, ends, _arrays, _as_they_are),
            "multiprocessing": _mapping(STANDARD, ends, _arrays, _as_they_are),
            "ray": _mapping(RAY, ends, _arrays, _as_they_are),
            "one warm copy": _copying,
        },
        judge=judge_times,
        bars=(
            Bar("multiprocessing", 1 / 12),
            Bar("ray", 1 / 4),
            Bar("one warm copy", 1.5),
            Bar("multiprocessing", 1 / 40, contender="phalanx.map", label="multiprocessing, by phalanx.map"),
        ),
    ),
    Row(
        name="arrays-out",
        work="map that makes eight arrays of 32 MB",
        contenders={
            "phalanx": _mapping(OURS, full, _sizes, _ends_of_each),
            "multiprocessing": _mapping(STANDARD, full, _sizes, _ends_of_each),
            "ray": _mapping(RAY, full, _sizes, _ends_of_each),
        },
        judge=judge_times,
        bars=(Bar("multiprocessing", 1 / 18), Bar("ray", 1 / 2.5)),
    ),
    Row(
        name="arrays-both",
        work="10,000 arrays of 100 KB there and back",
        contenders={
            "phalanx": _crossing(lambda: open_pool("phalanx", "Pool", WORKERS)),
            "phalanx, inline": _crossing(_pool_without_blocks),
            "multiprocessing": _crossing(lambda: open_pool("multiprocessing", "Pool", WORKERS)),
        },
        judge=judge_times,
        bars=(Bar("phalanx, inline", 1.0), Bar("multiprocessing", 1.0)),
        rounds=5,
    ),
    Row(
        name="share",
        work="1,000 tasks that all look into 256 MB, by share",
        contenders={
            "phalanx": _given_to_all(256, True),
            "a small array": _given_to_all(0.1, False),
        },
        judge=judge_times,
        bars=(Bar("a small array", 1.1),),
        rounds=15,
    ),
    Row(
        name="frame",
        work="a data frame of 100 MB with numbers and texts there",
        contenders={
            "phalanx": _mapping(OURS, total_of, _frame, _as_they_are),
            "multiprocessing": _mapping(STANDARD, total_of, _frame, _as_they_are),
        },
        judge=judge_times,
        bars=(Bar("multiprocessing", 1.0),),
    ),
)
