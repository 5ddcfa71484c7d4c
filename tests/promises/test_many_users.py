"""One pool, many users at once: each call has its own errors, limits and end, whatever others do to the pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from phalanx import Executor
from phalanx.errors import PoolClosed, TaskError, TaskTimeout, WorkerLost
from phalanx.pool import Pool
from tests.api.tasks import Door, square
from tests.promises import supervised
from tests.promises.deaths import die
from tests.promises.tasks import wait_until


def run_together(*functions: Callable[[], object]) -> None:
    """Each on a thread of its own, all from the same moment on; raises what one of them raised."""
    errors: list[BaseException] = []
    ready = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        try:
            ready.wait(20)
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_the_pool_changes_its_size_in_the_middle_of_a_map(start_method: str) -> None:
    with Executor(1, start_method=start_method) as executor:
        results = executor.map(supervised.nap, [0.005] * 200, chunksize=1)
        sizes = []
        for size in (4, 1, 3, 2):
            executor.resize(size)
            sizes.append(len({next(results) for _ in range(50)}))
        assert len(list(results)) == 0
        assert wait_until(lambda: len(executor.status()) == 2, 20)
    assert max(sizes) > 1


def test_calls_do_not_feel_each_others_errors_and_limits() -> None:
    with Executor(2) as executor:

        def map_on() -> None:
            assert list(executor.map(square, range(3000))) == [x * x for x in range(3000)]

        def crash() -> None:
            for _ in range(5):
                assert isinstance(executor.submit(die, "SIGKILL").exception(), WorkerLost)

        def take_too_long() -> None:
            for _ in range(3):
                error = executor.options(timeout=0.05).submit(time.sleep, 60).exception()
                assert isinstance(error, TaskTimeout)

        def raise_often() -> None:
            for _ in range(100):
                assert isinstance(executor.submit(int, "x").exception(), ValueError)

        def collect() -> None:
            results: list[Any] = list(executor.options(on_error="collect").map(int, ["1", "x"] * 100))
            assert [type(each) for each in results] == [int, TaskError] * 100

        def be_slow() -> None:
            assert all(executor.map(supervised.nap, [0.06] * 8, chunksize=1))

        run_together(map_on, crash, take_too_long, raise_often, collect, be_slow)


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_submitting_cancelling_and_closing_at_once(backend: str) -> None:
    for _ in range(5):
        executor = Executor(2, backend=backend)
        futures: list[Any] = []

        def submit(executor: Executor = executor, futures: list[Any] = futures) -> None:
            try:
                for x in range(500):
                    futures.append((x, executor.submit(square, x)))
            except PoolClosed:
                return

        def cancel(futures: list[Any] = futures) -> None:
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                for _, future in futures[-20:]:
                    future.cancel()

        def close(executor: Executor = executor, futures: list[Any] = futures) -> None:
            assert wait_until(lambda: len(futures) > 100)
            executor.shutdown(wait=True)

        run_together(submit, submit, cancel, close)
        executor.shutdown(wait=True)
        for x, future in futures:
            try:
                assert future.result(20) == x * x
            except CancelledError:
                assert future.cancelled()


def test_killing_calls_from_many_threads(door: Door) -> None:
    with Executor(3) as executor, door:

        def start_and_kill() -> None:
            for _ in range(4):
                future = executor.submit(time.sleep, 60)
                assert future.kill()
                with pytest.raises(CancelledError):
                    future.result(20)

        run_together(start_and_kill, start_and_kill, start_and_kill)
        assert executor.submit(square, 3).result() == 9


def test_a_pool_and_its_copies_of_options_end_together() -> None:
    with Pool(2, timeout=5, crash_retries=1) as pool:
        assert pool.map(square, range(10)) == [x * x for x in range(10)]
    with pytest.raises(PoolClosed):
        pool.map(square, [1])
    executor = Executor(1)
    views = [executor.options(timeout=t) for t in (1, 2, 3)]
    assert [view.submit(square, 2).result() for view in views] == [4, 4, 4]
    executor.shutdown()
    for view in views:
        with pytest.raises(PoolClosed):
            view.submit(square, 2)


def test_a_call_that_comes_while_its_pool_is_closed_is_refused_or_done() -> None:
    executor = Executor(1)
    assert executor.submit(square, 2).result() == 4
    session: Any = executor._shut.session
    put = session.lane.put

    def close_just_before(call: Any) -> None:
        session.lane.put = put
        executor.shutdown(wait=False)
        put(call)

    session.lane.put = close_just_before
    with pytest.raises(PoolClosed, match="after shutdown"):
        executor.submit(square, 3)
    executor.shutdown()


def test_two_threads_that_first_use_the_same_options_do_not_keep_the_pool_open() -> None:
    executor = Executor(1)
    assert executor.submit(square, 2).result() == 4
    calling: Any = executor._shut.session.calling  # type: ignore[union-attr]
    view = executor.options(timeout=9)
    second: Any = []
    open_lane = calling._open

    def open_twice(options: Any) -> Any:
        second.append(open_lane(options))  # the other thread, at the same moment
        return open_lane(options)

    calling._open = open_twice
    assert view.submit(square, 3).result() == 9
    executor.shutdown(wait=False)
    assert executor._shut.session.join(10)  # type: ignore[union-attr]


def test_options_that_are_first_used_while_the_pool_is_closed_do_not_keep_it_open() -> None:
    executor = Executor(1)
    assert executor.submit(square, 2).result() == 4
    session: Any = executor._shut.session
    view = executor.options(timeout=9)
    open_lane = session.calling._open

    def close_just_before(options: Any) -> Any:
        executor.shutdown(wait=False)
        return open_lane(options)

    session.calling._open = close_just_before
    with pytest.raises(PoolClosed, match="after shutdown"):
        view.submit(square, 3)
    assert session.join(10)
