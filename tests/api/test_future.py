"""`phalanx.Future`: everything of the standard one, waited for in every way there is."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import gc
import logging
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import phalanx
from phalanx import Executor, Future
from tests.api import tasks
from tests.api.tasks import Door


@pytest.fixture(params=["processes", "threads"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(1, backend=request.param) as found:
        yield found


def test_result_and_exception(executor: Executor) -> None:
    good, bad = executor.submit(tasks.square, 3), executor.submit(tasks.fail, "x")
    assert isinstance(good, Future)
    assert isinstance(good, cf.Future)
    assert (good.result(), good.result(), good.exception()) == (9, 9, None)
    assert isinstance(bad.exception(timeout=30), ValueError)
    for _ in range(2):
        with pytest.raises(ValueError, match="x") as caught:
            bad.result()
        assert caught.value is bad.exception()
    assert (good.done(), good.cancelled(), good.running()) == (True, False, False)


def test_timeouts(executor: Executor, door: Door) -> None:
    future = executor.submit(door.pass_through, 1)
    for wait in (future.result, future.exception):
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                wait(timeout=timeout)
        with pytest.raises(TimeoutError):
            wait(0.01)
    door.open()
    assert future.result(30) == 1


def test_running_and_cancelling(executor: Executor, door: Door) -> None:
    first, *others = [executor.submit(door.pass_through, x) for x in range(5)]
    door.wait_until_somebody_is_there(0)
    assert (first.running(), first.done()) == (True, False)
    assert not first.cancel()
    # Some of these have been sent already.
    for future in others:
        assert not future.running()
        assert future.cancel()
        assert future.cancel()
        assert (future.cancelled(), future.done(), future.running()) == (True, True, False)
        for wait in (future.result, future.exception):
            with pytest.raises(cf.CancelledError):
                wait()
    door.open()
    assert first.result() == 0
    assert not first.cancel()
    assert executor.submit(tasks.square, 2).result() == 4
    assert door.who_came() == {"0"}


def test_worker_pid(executor: Executor) -> None:
    future = executor.submit(tasks.pid)
    assert future.worker_pid in (None, future.result())
    assert future.worker_pid == future.result()
    assert Future().worker_pid is None


# -- callbacks


def test_callbacks_get_the_future(executor: Executor) -> None:
    for fn, argument in ((tasks.square, 3), (tasks.fail, 3)):
        told: list[Any] = []
        done = threading.Event()
        future = executor.submit(fn, argument)
        future.add_done_callback(told.append)
        future.add_done_callback(lambda future, done=done: done.set())
        future.exception()
        assert done.wait(30)
        assert told == [future]


def test_a_late_callback_is_called_at_once_where_it_is_added(executor: Executor) -> None:
    future = executor.submit(tasks.square, 3)
    future.result()
    told: list[Any] = []
    future.add_done_callback(lambda future: told.append((future, threading.current_thread())))
    assert told == [(future, threading.current_thread())]


def test_callbacks_come_while_nobody_waits(executor: Executor) -> None:
    done = threading.Event()
    executor.submit(tasks.nap, 0.01).add_done_callback(lambda future: done.set())
    assert done.wait(30)


def test_callbacks_of_the_cancelled(executor: Executor, door: Door) -> None:
    executor.submit(door.pass_through, 0)
    future = executor.submit(tasks.square, 1)
    told: list[Any] = []
    done = threading.Event()
    future.add_done_callback(told.append)
    future.add_done_callback(lambda future: done.set())
    assert future.cancel()
    assert done.wait(30)
    assert told == [future]


def test_a_callback_that_raises_is_logged_and_the_others_are_called(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    future = executor.submit(tasks.nap, 0.02)
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        future.add_done_callback(lambda future: 1 / 0)
        future.add_done_callback(lambda future: done.set())
        assert done.wait(30)
    assert "exception calling callback for <Future at" in caplog.text


def test_every_callback_is_called_exactly_once_however_it_is_timed(executor: Executor) -> None:
    called: list[int] = []
    done = threading.Semaphore(0)

    def call(x: int) -> Any:
        def callback(future: Any) -> None:
            called.append(x)
            done.release()

        return callback

    for x in range(300):
        executor.submit(tasks.square, x).add_done_callback(call(x))
    for _ in range(300):
        assert done.acquire(timeout=30)
    assert sorted(called) == list(range(300))


# -- the functions of concurrent.futures


def test_wait(executor: Executor, door: Door) -> None:
    quick = [executor.submit(tasks.square, x) for x in range(3)]
    slow = executor.submit(door.pass_through, 1)
    strange: cf.Future[int] = cf.Future()
    strange.set_result(5)
    done, pending = cf.wait([*quick, slow, strange], timeout=0.5)
    assert pending == {slow}
    assert done == {*quick, strange}
    done, pending = cf.wait([slow, *quick], return_when=cf.FIRST_COMPLETED)
    assert slow in pending
    door.open()
    assert cf.wait([slow, slow]).done == {slow}


def test_wait_for_the_first_error(executor: Executor, door: Door) -> None:
    bad, slow = executor.submit(tasks.fail, 1), executor.submit(door.pass_through, 1)
    done, pending = cf.wait([slow, bad], return_when=cf.FIRST_EXCEPTION)
    assert (done, pending) == ({bad}, {slow})


def test_wait_is_not_over_because_one_was_cancelled(executor: Executor, door: Door) -> None:
    """Being told twice of one end must not count as two ends."""
    first = executor.submit(door.pass_through, 0)
    door.wait_until_somebody_is_there(0)
    second, third = executor.submit(tasks.square, 1), executor.submit(tasks.square, 2)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(cf.wait([first, second, third])))
    thread.start()
    while not second._waiters:
        assert thread.is_alive()
    assert second.cancel()
    assert third.cancel()
    thread.join(0.1)
    assert thread.is_alive()
    door.open()
    thread.join()
    assert found[0].done == {first, second, third}


def test_a_waiter_is_told_once_however_often_the_end_is_announced() -> None:
    """A call's end may be dealt with twice, and cancelling announces what the engine announces as well."""
    for outcome in ((True, 1), (False, ValueError()), (False, cf.CancelledError())):
        future, other = Future(), Future()
        found: list[Any] = []
        thread = threading.Thread(
            target=lambda found=found, both=(future, other): found.append(cf.wait(both))
        )
        thread.start()
        while not other._waiters:
            assert thread.is_alive()
        future._resolve(*outcome, 0)
        future._resolve(*outcome, 0)
        thread.join(0.05)
        assert thread.is_alive()
        other.set_result(1)
        thread.join()
        assert found[0].done == {future, other}


def test_as_completed(executor: Executor, door: Door) -> None:
    slow = executor.submit(door.pass_through, 9)
    strange: cf.Future[int] = cf.Future()
    order = cf.as_completed([slow, strange, slow])
    strange.set_result(1)
    assert next(order) is strange
    door.open()
    assert list(order) == [slow]
    futures = [executor.submit(tasks.square, x) for x in range(50)]
    assert {future.result() for future in cf.as_completed(futures)} == {x * x for x in range(50)}


def test_as_completed_timeout(executor: Executor, door: Door) -> None:
    with pytest.raises(TimeoutError):
        list(cf.as_completed([executor.submit(door.pass_through, 1)], timeout=0.02))


def test_asyncio(executor: Executor) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        wrapped = [asyncio.wrap_future(executor.submit(tasks.square, x)) for x in range(5)]
        ran = loop.run_in_executor(executor, tasks.square, 7)
        with pytest.raises(ValueError, match="x"):
            await asyncio.wrap_future(executor.submit(tasks.fail, "x"))
        return [*await asyncio.gather(*wrapped), await ran]

    assert asyncio.run(main()) == [0, 1, 4, 9, 16, 49]


def test_cancelling_what_asyncio_waits_for_cancels_the_call(executor: Executor, door: Door) -> None:
    executor.submit(door.pass_through, 0)
    future = executor.submit(tasks.square, 1)

    async def main() -> None:
        task = asyncio.wrap_future(future)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert future.cancelled()


def test_many_threads_wait_for_one(executor: Executor, door: Door) -> None:
    future, results = executor.submit(door.pass_through, 5), []
    threads = [threading.Thread(target=lambda: results.append(future.result())) for _ in range(8)]
    for thread in threads:
        thread.start()
    door.open()
    for thread in threads:
        thread.join()
    assert results == [5] * 8


# -- by itself


def test_a_future_of_nobodys_is_a_standard_one() -> None:
    future = Future()
    assert repr(future).startswith("<Future at 0x")
    assert repr(future).endswith("state=pending>")
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    assert future.set_running_or_notify_cancel()
    assert future.running()
    assert not future.cancel()
    future.set_result(3)
    assert future.result() == 3
    with pytest.raises(cf.InvalidStateError):
        future.set_result(4)
    other = Future()
    assert other.cancel()
    assert not other.set_running_or_notify_cancel()
    with pytest.raises(cf.CancelledError):
        other.result()


def test_repr(executor: Executor, door: Door) -> None:
    waiting = executor.submit(door.pass_through, 1)
    good, bad = executor.submit(tasks.square, 2), executor.submit(tasks.fail, 2)
    assert "state=pending" in repr(good)
    door.open()
    good.result(), bad.exception(), waiting.result()
    assert "state=finished returned int>" in repr(good)
    assert "state=finished raised ValueError>" in repr(bad)
    assert Future.__module__ == "phalanx"
    assert phalanx.Future is Future


@pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy:DeprecationWarning")
def test_a_future_does_not_travel(executor: Executor) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(executor.submit(tasks.square, 1))


def test_nothing_is_kept_of_a_call_that_is_done(executor: Executor) -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    future: Any = executor.submit(tasks.collect, Local(thing))
    future.result()
    del future, thing
    executor.submit(tasks.square, 1).result()
    gc.collect()
    assert gone() is None


class Local:
    """Holds a thing that stays here."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __reduce__(self) -> Any:
        return int, ()


def test_an_error_does_not_hold_itself(executor: Executor) -> None:
    future = executor.submit(tasks.fail, 1)
    gone = weakref.ref(future)
    try:
        future.result()
    except ValueError:
        pass
    del future
    executor.submit(os.getpid).result()
    gc.disable()
    try:
        assert gone() is None
    finally:
        gc.enable()
