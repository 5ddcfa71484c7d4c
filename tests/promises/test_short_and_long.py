"""A short item never waits for a long one, as long as one of the workers could run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from phalanx import Executor
from phalanx.pool import Pool
from tests.api import tasks

LONG = 10.0
SOON = 0.05
TRIES = 3


@contextmanager
def stopped_at_the_end(workers: int) -> Iterator[Executor]:
    """An executor whose workers are up; what it runs at the end is killed."""
    executor = Executor(workers)
    try:
        for future in [executor.submit(tasks.nap, 0.02) for _ in range(workers)]:
            future.result()
        yield executor
    finally:
        executor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def best_of_tries(workers: int, do: Callable[[Executor], float]) -> float:
    times = []
    for _ in range(TRIES):
        with stopped_at_the_end(workers) as executor:
            times.append(do(executor))
        if times[-1] < SOON:
            break
    return min(times)


def test_a_short_one_behind_a_long_one() -> None:
    def do(executor: Executor) -> float:
        executor.submit(tasks.nap, LONG)
        began = time.perf_counter()
        assert executor.submit(tasks.square, 3).result() == 9
        return time.perf_counter() - began

    assert best_of_tries(2, do) < SOON


def test_many_short_ones_around_a_long_one() -> None:
    def do(executor: Executor) -> float:
        began = time.perf_counter()
        futures = [executor.submit(tasks.square, x) for x in range(20)]
        executor.submit(tasks.nap, LONG)
        futures += [executor.submit(tasks.square, x) for x in range(20)]
        assert [future.result() for future in futures] == [x * x for x in range(20)] * 2
        return time.perf_counter() - began

    assert best_of_tries(2, do) < SOON


def test_a_long_one_in_the_middle_of_what_used_to_be_short() -> None:
    def do(executor: Executor) -> float:
        # By now the pool sends many at a time.
        assert len(list(executor.map(tasks.square, range(20_000)))) == 20_000
        for future in [executor.submit(tasks.square, x) for x in range(2_000)]:
            future.result()
        executor.submit(tasks.nap, LONG)
        futures = [executor.submit(tasks.square, x) for x in range(100)]
        began = time.perf_counter()
        assert [future.result() for future in futures] == [x * x for x in range(100)]
        return time.perf_counter() - began

    assert best_of_tries(2, do) < SOON


def test_a_short_one_before_a_long_one() -> None:
    def do(executor: Executor) -> float:
        began = time.perf_counter()
        future = executor.submit(tasks.square, 3)
        executor.submit(tasks.nap, LONG)
        assert future.result() == 9
        return time.perf_counter() - began

    assert best_of_tries(2, do) < SOON
    assert best_of_tries(1, do) < SOON


def test_short_ones_before_a_long_one_while_nobody_waits() -> None:
    def do(executor: Executor) -> float:
        began = time.perf_counter()
        futures = [executor.submit(tasks.square, x) for x in range(20)]
        executor.submit(tasks.nap, LONG)
        while not all(future.done() for future in futures):
            assert time.perf_counter() < began + 5
            time.sleep(0.001)
        return time.perf_counter() - began

    assert best_of_tries(1, do) < SOON


def test_a_pool_is_as_fair() -> None:
    times = []
    for _ in range(TRIES):
        with Pool(2) as pool:
            pool.map(tasks.nap, [0.02] * 4, 1)
            before = pool.apply_async(tasks.square, (2,))
            pool.apply_async(tasks.nap, (LONG,))
            began = time.perf_counter()
            assert pool.apply(tasks.square, (3,)) == 9
            assert before.get() == 4
            assert pool.map(tasks.square, range(10)) == [x * x for x in range(10)]
            times.append(time.perf_counter() - began)
    assert min(times) < SOON


def test_results_of_a_stream_before_a_long_item() -> None:
    def do(executor: Executor) -> float:
        began = time.perf_counter()
        stream = executor.stream(tasks.nap, [0, 0, 0, LONG, 0, 0])
        assert [next(stream) for _ in range(3)] == [0, 0, 0]
        return time.perf_counter() - began

    assert best_of_tries(1, do) < SOON
