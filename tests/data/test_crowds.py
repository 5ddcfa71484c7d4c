"""Large objects among many: many threads, small items beside large ones, signals that raise, chance."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phalanx import Executor, Pool
from tests.data.tasks import checked, echo, filled, made, made_array, number_of, sealed
from tests.engine.storms import Storm
from tests.engine.strikes import Struck, strike
from tests.promises.test_many_users import run_together

PATIENCE = 20
# Seconds that a small call may take beside a large one: some milliseconds, and what a busy machine adds to them.
LONGEST = 0.5


@pytest.fixture
def forced_switches() -> Any:
    """Threads change places after every few bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("forced_switches")
def test_threads_that_share_an_executor_get_each_their_own(forked: Executor) -> None:
    def send(first: int) -> None:
        for number in range(first, first + 12):
            assert number_of(forked.submit(checked, sealed(number, 300_000)).result(PATIENCE)) == number
            futures = [forked.submit(checked, sealed(number + n, 80_000)) for n in range(4)]
            assert [number_of(future.result(PATIENCE)) for future in futures] == list(
                range(number, number + 4)
            )

    def stream(first: int) -> None:
        results = forked.stream(checked, (sealed(number, 300_000) for number in range(first, first + 40)))
        assert [number_of(result) for result in results] == list(range(first, first + 40))

    run_together(
        *(lambda n=n: send(1000 * n) for n in range(4)), lambda: stream(10_000), lambda: stream(20_000)
    )


@pytest.mark.usefixtures("forced_switches")
def test_results_are_looked_at_by_several_threads_at_once(forked: Executor) -> None:
    for number in range(30):
        future = forked.submit(checked, sealed(number, 300_000))
        seen: list[Any] = []
        run_together(
            *(lambda future=future, seen=seen: seen.append(future.result(PATIENCE)) for _ in range(4))
        )
        assert all(each is seen[0] for each in seen)
        assert number_of(seen[0]) == number


@pytest.mark.slow
def test_a_large_result_does_not_hold_up_small_ones(forked: Executor) -> None:
    forked.submit(filled, 8).result()
    assert list(forked.map(len, [[1]] * 8, chunksize=1)) == [1] * 8
    large = forked.submit(filled, 300)
    answers = 0
    longest = 0.0
    while not large.done():
        began = time.monotonic()
        assert forked.submit(len, [1]).result(PATIENCE) == 1
        longest = max(longest, time.monotonic() - began)
        answers += 1
    result = large.result()
    assert (result.shape, float(result.min()), float(result.max())) == ((37_500_000,), 1.5, 1.5)
    assert answers > 5
    assert longest < LONGEST


@pytest.mark.slow
def test_a_large_argument_does_not_hold_up_what_is_on_its_way(forked: Executor) -> None:
    content = np.full(37_500_000, 2.5)
    list(forked.map(len, [[1]] * 8, chunksize=1))
    over = threading.Event()
    answers: list[float] = []

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            assert forked.submit(len, [1]).result(PATIENCE) == 1
            answers.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert forked.submit(np.sum, content).result() == 2.5 * content.size
    finally:
        over.set()
        asking.join()
    assert len(answers) > 5
    assert max(answers) < LONGEST


class Crossings:
    """Large calls whose every future is right in the end."""

    def __init__(self, executor: Executor, size: int) -> None:
        self._executor = executor
        self._size = size
        self._next = 0
        self.futures: dict[int, Any] = {}

    def several(self) -> None:
        """One step of the storm."""
        batch = []
        for _ in range(3):
            number = self._next = self._next + 1
            content = sealed(number % 8, self._size)
            self.futures[number] = future = self._executor.submit(checked, content)
            batch.append((number % 8, future))
        for number, future in batch:
            assert number_of(future.result(PATIENCE)) == number

    def check(self) -> None:
        """Nothing was lost."""
        for number, future in self.futures.items():
            assert number_of(future.result(PATIENCE)) == number % 8


# A handler that raises while the collector frees something is the collector's to report; and a socket that was
# being made when it struck is freed by the collector, which says so.
unraisable = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@unraisable
@pytest.mark.parametrize("size", [80_000, 300_000])
def test_a_storm_of_signals_over_large_calls(size: int) -> None:
    with Executor(2, start_method="fork") as executor:
        crossings = Crossings(executor, size)
        crossings.several()
        with Storm(2, 0.004) as storm:
            for _ in range(6_000):
                storm.attempt(crossings.several)
                if storm.struck >= 300:
                    break
        assert storm.struck >= 300
        crossings.check()


@unraisable
def test_a_storm_of_signals_over_large_maps() -> None:
    items = [sealed(number, 300_000) for number in range(6)]
    with Pool(2, start_method="fork") as pool, Storm(3, 0.02) as storm:

        def cross() -> None:
            assert [number_of(result) for result in pool.map(checked, items, chunksize=2)] == list(range(6))

        for _ in range(2_000):
            storm.attempt(cross)
            if storm.struck >= 60:
                break
        assert storm.struck >= 60
        cross()
        pool.close()
        pool.join()


@unraisable
@pytest.mark.parametrize("size", [80_000, 300_000])
def test_an_exception_at_every_place_of_a_large_call(size: int) -> None:
    """Each time one place further along; what was handed out is right, and so is the next call."""
    content, missed, struck = sealed(1, size), 0, 0
    with Executor(1, start_method="fork") as executor:
        executor.submit(checked, content).result()
        for place in range(1, 3_000, 3):
            future = None
            try:
                with strike(place) as blow:
                    future = executor.submit(checked, content)
                    assert number_of(future.result(PATIENCE)) == 1
            except Struck:
                struck += 1
            if future is not None:
                assert number_of(future.result(PATIENCE)) == 1, blow.place
            assert number_of(executor.submit(checked, sealed(2, size)).result(PATIENCE)) == 2, blow.place
            missed += not blow.fell
            if missed == 2:
                break
    assert missed == 2
    assert struck > 10


@unraisable
def test_an_exception_at_every_place_of_a_call_that_makes_a_shared_array() -> None:
    """Its block is announced and given up in one message or two, and owned once, however often these are read."""
    missed = 0
    with Executor(1, start_method="fork") as executor:
        executor.submit(made_array, 1).result()
        before = len(os.listdir("/proc/self/fd"))
        for place in range(1, 3_000, 3):
            future = None
            try:
                with strike(place) as blow:
                    future = executor.submit(made_array, place)
                    assert future.result(PATIENCE).tolist() == [place, 0]
            except Struck:
                pass
            if future is not None:
                found = future.result(PATIENCE)
                found[1] = 1
                assert executor.submit(sum, found).result(PATIENCE) == place + 1, blow.place
                del found
            missed += not blow.fell
            if missed == 2:
                break
        del future
        executor.submit(made_array, 1).result()
        assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert missed == 2


def leaves() -> st.SearchStrategy[Any]:
    sizes = st.sampled_from([0, 1, 65_535, 65_536, 70_000, 262_144, 300_000])
    arrays = st.builds(
        lambda seed, size, dtype, step: (
            np.random.default_rng(seed).integers(0, 2, size).astype(dtype)[::step]
        ),
        st.integers(0, 100),
        sizes,
        st.sampled_from(["u1", "i4", "f8", "?"]),
        st.sampled_from([1, 1, 1, 2, -1]),
    )
    blobs = st.builds(
        lambda size, kind: kind(os.urandom(1) * size), sizes, st.sampled_from([bytes, bytearray])
    )
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
    return st.one_of(arrays, blobs, plain)


def structures() -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.tuples(inner, inner),
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
        ),
        max_leaves=8,
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(structures(), min_size=1, max_size=4))
def test_any_structure_goes_there_and_back(forked: Executor, objects: list[Any]) -> None:
    wanted = [pickle.dumps(pickle.loads(pickle.dumps(each, 5)), 5) for each in objects]
    for results in (
        [forked.submit(echo, each).result(PATIENCE) for each in objects],
        list(forked.map(echo, objects)),
        list(forked.map(echo, objects, chunksize=4)),
    ):
        assert [pickle.dumps(result, 5) for result in results] == wanted


def test_small_items_pass_large_ones(forked: Executor) -> None:
    """Of one worker's batches none is held back by the other's."""
    list(forked.map(len, [[1]] * 8, chunksize=1))
    large = [forked.submit(made, number) for number in range(40)]
    small = [forked.submit(len, [1] * number) for number in range(200)]
    assert [future.result(PATIENCE) for future in small] == list(range(200))
    assert [number_of(future.result(PATIENCE)) for future in large] == list(range(40))
