"""A `__del__` that uses the pool, called by a collection at the worst moment."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from phalanx import Executor
from phalanx._api import session
from phalanx._engine.driver import Driver
from phalanx._engine.engine import Engine
from phalanx.errors import WorkerStartFailed
from phalanx.pool import Pool
from tests.api import tasks

pytestmark = pytest.mark.timeout(20)


class Cyclic:
    """Garbage that only a collection frees, and that then does something."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.me = self
        self.do = do

    def __del__(self) -> None:
        self.do()


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """What is there already is not looked at again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def eager_collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


def collecting_in(
    monkeypatch: pytest.MonkeyPatch, owner: type, step: str, do: Callable[[], Any], most: int = 30
) -> list[bool]:
    """Have garbage collected that does `do()` whenever `step` begins, at most so often.

    The list that is returned grows by whether the engine's lock was held.
    """
    done: list[bool] = []
    busy: list[bool] = []
    original = getattr(owner, step)

    def wrapped(self: Any, *args: Any) -> Any:
        engine = self if isinstance(self, Engine) else getattr(self, "engine", None)
        if len(done) < most and not busy and threading.current_thread() is threading.main_thread():
            done.append(engine is not None and engine.is_mine())
            busy.append(True)  # no collection begins inside a collection
            Cyclic(do)
            gc.collect()
            busy.clear()
        return original(self, *args)

    monkeypatch.setattr(owner, step, wrapped)
    return done


@pytest.mark.parametrize("is_first_call", [False, True])
@pytest.mark.parametrize("step", ["enter", "leave", "handle", "admit"])
def test_submitting_under_the_lock(step: str, is_first_call: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    futures: list[Any] = []
    with Executor(2) as executor:
        if not is_first_call:
            executor.submit(tasks.square, 1).result()
        with monkeypatch.context() as patch:
            done = collecting_in(
                patch, Engine, step, lambda: futures.append(executor.submit(tasks.square, len(futures)))
            )
            assert [executor.submit(tasks.square, x).result() for x in range(50)] == [
                x * x for x in range(50)
            ]
        assert len(futures) == len(done) > 5
        assert all(done)
        assert [future.result(10) for future in futures] == [x * x for x in range(len(futures))]


def test_submitting_under_the_lock_is_done_though_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()

    def use() -> None:
        executor.submit(tasks.square, 3).add_done_callback(lambda future: called.set())

    with Executor(1) as executor:
        executor.submit(tasks.square, 1).result()
        with monkeypatch.context() as patch:
            done = collecting_in(patch, Engine, "leave", use, most=1)
            executor.submit(tasks.square, 2)
        assert done == [True]
        assert called.wait(5)


def test_mapping_and_cancelling_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[Any] = []

    def use() -> None:
        executor.submit(tasks.square, 1).cancel()
        results.append(executor.map(tasks.square, range(3)))
        results.append(executor.stream(tasks.square, iter(range(3))))

    with Executor(2) as executor:
        with monkeypatch.context() as patch:
            collecting_in(patch, Engine, "handle", use, most=10)
            assert [executor.submit(tasks.square, x).result() for x in range(20)] == [
                x * x for x in range(20)
            ]
        assert [list(result) for result in results] == [[0, 1, 4]] * 20


def test_waiting_under_the_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[BaseException] = []

    def use() -> None:
        for wait in (
            lambda: executor.submit(tasks.square, 2).result(),
            lambda: list(executor.stream(tasks.square, [1])),
            lambda: pool.apply(tasks.square, (2,)),
        ):
            try:
                wait()
            except RuntimeError as error:
                errors.append(error)

    with Executor(2) as executor, Pool(1) as pool:
        assert pool.apply(tasks.square, (1,)) == executor.submit(tasks.square, 1).result() == 1
        with monkeypatch.context() as patch:
            done = collecting_in(patch, Engine, "handle", use, most=5)
            assert [executor.submit(tasks.square, x).result() for x in range(20)] == [
                x * x for x in range(20)
            ]
        # The other pool's lock was free.
        assert len(errors) == 2 * len(done) == 10
        assert all("lock" in str(error) and "__del__" in str(error) for error in errors)


@pytest.mark.parametrize("step", ["deliver", "_do_chores"])
def test_waiting_in_a_thread_that_drives_ends(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Any] = []

    def use() -> None:
        try:
            outcomes.append(executor.submit(tasks.square, 3).result(5))
        except RuntimeError as error:
            outcomes.append(str(error))

    with Executor(2) as executor:
        with monkeypatch.context() as patch:
            collecting_in(patch, Driver, step, use, most=3)
            assert list(executor.map(tasks.square, [1, 2, 3])) == [1, 4, 9]
            assert executor.submit(tasks.square, 5).result() == 25
        assert outcomes
        assert all(outcome == 9 or "pool" in str(outcome) for outcome in outcomes), outcomes


def test_using_the_pool_while_its_thread_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    futures: list[Any] = []
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "phalanx-driver" and not futures:
            futures.append(None)
            Cyclic(lambda: futures.append(executor.submit(tasks.square, 4)))
            gc.collect()
        original(self)

    with Executor(1) as executor:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            assert executor.submit(tasks.square, 3).result() == 9
        assert [future.result() for future in futures[1:]] == [16]


def test_a_collection_at_every_step(eager_collector: None) -> None:
    futures: list[Any] = []

    def use() -> None:
        if len(futures) < 500:
            futures.append(executor.submit(tasks.square, len(futures)))

    with Executor(2) as executor:
        for x in range(200):
            Cyclic(use)
            future = executor.submit(tasks.square, x)
            Cyclic(use)
            assert future.result() == x * x
        Cyclic(use)
        assert list(executor.map(tasks.square, range(50))) == [x * x for x in range(50)]
        gc.collect()
        assert len(futures) == 401
        assert [future.result() for future in futures] == [x * x for x in range(401)]


class Ending:
    """An argument whose pickling ends the pool that it is given to."""

    pool: Pool

    def __reduce__(self) -> Any:
        self.pool.terminate()
        return Ending, ()


def test_an_argument_that_ends_the_pool_while_it_is_pickled() -> None:
    with Pool(2) as pool:
        Ending.pool = pool
        result = pool.map_async(str, [Ending(), Ending()])
        with pytest.raises(CancelledError):
            result.get(10)


def test_a_worker_thread_may_be_the_one_that_drops_its_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_ABANDON_SECONDS", 50)  # whoever waits for himself would wait that long
    holder: list[Any] = []
    refused, may_drop, dropped = threading.Event(), threading.Event(), threading.Event()
    starting = iter(range(2))

    def initialize() -> None:
        if next(starting):
            assert may_drop.wait(20)
            holder.clear()
            dropped.set()
        refused.set()
        raise ValueError("no start today")

    holder.append(Executor(2, backend="threads", initializer=initialize))
    futures = [holder[0].submit(tasks.square, x) for x in range(2)]
    with pytest.raises(WorkerStartFailed):
        futures[0].result(10)
    del futures
    may_drop.set()
    assert dropped.wait(10)
