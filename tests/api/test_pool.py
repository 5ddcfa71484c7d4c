"""`Pool` and `ThreadPool`: every method of the standard class, and what is better about ours."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import multiprocessing.pool
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import phalanx
from phalanx.errors import NotSendable, PoolClosed, WorkerLost
from phalanx.pool import Pool, ThreadPool
from tests.api import tasks
from tests.api.tasks import Door
from tests.promises.tasks import wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[Pool]:
    """One pool for all tests that leave it as it was. Made before the leak fixture looks."""
    with Pool(2) as pool:
        launcher: Any = pool._session.engine.launcher

        def all_is_there() -> bool:
            return len(pool._pool) == 2 and all(child.pidfd for child in launcher._children.values())

        assert wait_until(all_is_there)  # descriptors that come with the news of a start, too
        yield pool


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with Pool(2) if request.param == "processes" else ThreadPool(2) as found:
        yield found


# -- each method, with positional and keyword arguments


def test_core_by_every_start_method(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        assert pool.map(tasks.square, range(20)) == [x * x for x in range(20)]
        assert pool.apply(tasks.add, (1, 2), {"z": 3}) == 6
        assert pool.apply_async(tasks.square, (3,)).get() == 9
        assert list(pool.imap(tasks.square, range(5))) == [0, 1, 4, 9, 16]
        with pytest.raises(ValueError, match="bad"):
            pool.apply(tasks.fail, ("bad",))
        name = {"fork": "Fork", "forkserver": "ForkServer", "spawn": "Spawn"}[start_method]
        assert pool.apply(tasks.start_method_of) == f"{name}Process"


def test_a_context_gives_the_start_method() -> None:
    with Pool(1, context=multiprocessing.get_context("spawn")) as pool:
        assert pool.apply(tasks.start_method_of) == "SpawnProcess"


def test_apply(pool: Pool) -> None:
    assert pool.apply(tasks.collect) == ((), {})
    assert pool.apply(tasks.collect, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    assert pool.apply(func=tasks.collect, args=[1], kwds={"func": 2}) == ((1,), {"func": 2})
    with pytest.raises(ValueError, match="no"):
        pool.apply(tasks.fail, ("no",))


def test_map(pool: Pool) -> None:
    assert pool.map(tasks.square, range(100)) == [x * x for x in range(100)]
    assert pool.map(func=tasks.square, iterable=iter([1, 2, 3]), chunksize=2) == [1, 4, 9]
    assert pool.map(tasks.square, []) == []
    assert pool.map(tasks.square, {3: "a", 4: "b"}, 1) == [9, 16]
    assert pool.map(ord, "ab") == [97, 98]


def test_starmap(pool: Pool) -> None:
    assert pool.starmap(tasks.add, [(1, 2), (3,), [4, 5, 6]]) == [3, 3, 15]
    assert pool.starmap(func=tasks.add, iterable=zip([1, 2], [3, 4], strict=True), chunksize=1) == [4, 6]


def test_map_async(pool: Pool) -> None:
    result = pool.map_async(func=tasks.square, iterable=range(5), chunksize=1, callback=None)
    assert result.get(timeout=30) == [0, 1, 4, 9, 16]
    assert result.get() == [0, 1, 4, 9, 16]
    assert result.ready()
    assert result.successful()
    assert pool.map_async(tasks.square, []).get(30) == []
    assert pool.starmap_async(tasks.add, [(1, 2)]).get() == [3]


def test_imap(pool: Pool) -> None:
    assert list(pool.imap(tasks.square, range(50))) == [x * x for x in range(50)]
    assert sorted(pool.imap_unordered(tasks.square, range(50))) == [x * x for x in range(50)]
    assert list(pool.imap(func=tasks.square, iterable=iter(range(7)), chunksize=3)) == [
        x * x for x in range(7)
    ]
    assert list(pool.imap(tasks.square, [])) == []
    lazy = pool.imap(tasks.square, itertools.count())
    assert [next(lazy), lazy.next(), lazy.next(timeout=30)] == [0, 1, 4]


def test_items_are_not_unpacked_by_type(shared: Pool) -> None:
    assert shared.map(len, [(1, 2), [3]]) == [2, 1]


def test_a_list_that_changes_after_the_call(shared: Pool) -> None:
    items = list(range(100))
    result = shared.map_async(tasks.square, items)
    items.clear()
    assert result.get() == [x * x for x in range(100)]


# -- results that are not there, or not good


def test_async_result_before_its_end(pool: Pool, door: Door) -> None:
    result = pool.apply_async(door.pass_through, (1,))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.01)
    door.open()
    result.wait()
    assert (result.ready(), result.successful(), result.get()) == (True, True, 1)


def test_imap_timeout(pool: Pool, door: Door) -> None:
    results = pool.imap(door.pass_through, [1])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    door.open()
    assert results.next(timeout=30) == 1
    with pytest.raises(StopIteration):
        results.next()


def test_a_failed_result_stays_failed(pool: Pool) -> None:
    result = pool.apply_async(tasks.fail, ("no",))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            result.get()
    assert not result.successful()


def test_map_runs_everything_and_raises_the_first_error_in_input_order(tmp_path: Any) -> None:
    door = Door(tmp_path)
    door.open()
    with Pool(2) as pool:
        with pytest.raises(ValueError, match=r"\(2\)|2"):
            pool.map(Recording(door), range(10), 1)
    assert door.who_came() == {str(x) for x in range(10)}


class Recording:
    def __init__(self, door: Door) -> None:
        self.door = door

    def __call__(self, x: int) -> int:
        self.door.pass_through(x)
        if x in (2, 7):
            raise ValueError(x)
        return x


def test_an_error_has_the_remote_traceback_as_its_cause(shared: Pool) -> None:
    with pytest.raises(ValueError) as caught:
        shared.map(tasks.fail, ["x"])
    cause = caught.value.__cause__
    assert type(cause) is multiprocessing.pool.RemoteTraceback  # type: ignore[attr-defined]
    assert "raise ValueError(x)" in str(cause)
    assert any("item 0: 'x', in worker process" in note for note in caught.value.__notes__)


def test_an_error_of_the_iterator_has_no_cause(shared: Pool) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("input")

    for call in (shared.map, shared.imap, shared.imap_unordered):
        with pytest.raises(KeyError) as caught:
            list(call(tasks.square, items()))
        assert caught.value.__cause__ is None
    with pytest.raises(KeyError):
        shared.map_async(tasks.square, items()).get()


def test_imap_delivers_what_came_before_an_error_and_goes_on_after_it(shared: Pool) -> None:
    results, seen = shared.imap(tasks.fail_on_three, range(6)), []
    for _ in range(6):
        try:
            seen.append(next(results))
        except ValueError as error:
            seen.append(str(error))
    assert seen == [0, 1, 2, "bad 3", 4, 5]
    with pytest.raises(StopIteration):
        next(results)


def test_a_killed_worker_costs_one_item() -> None:
    with Pool(2) as pool:
        with pytest.raises(WorkerLost, match="SIGKILL") as caught:
            pool.map(tasks.die_on_three, range(10), 1)
        assert caught.value.index == 3
        assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]
        with pytest.raises(WorkerLost):
            pool.apply(tasks.die)
        assert pool.apply(tasks.square, (3,)) == 9


def test_what_cannot_travel(shared: Pool) -> None:
    lock = threading.Lock()
    with pytest.raises(NotSendable, match=r"args\[0\]") as caught:
        shared.apply(tasks.square, (lock,))
    assert caught.value.side == "argument"
    with pytest.raises(NotSendable):
        shared.apply_async(tasks.square, (lock,)).get()
    with pytest.raises(NotSendable):
        shared.map(tasks.square, [1, lock])
    with pytest.raises(NotSendable) as caught:
        shared.apply(tasks.make_lock)
    assert caught.value.side == "result"
    assert isinstance(caught.value, multiprocessing.pool.MaybeEncodingError)  # type: ignore[attr-defined]
    assert isinstance(caught.value, pickle.PicklingError)
    with pytest.raises(NotSendable, match="1 and 2"):
        shared.apply(tasks.raise_odd)
    with pytest.raises(RuntimeError, match="not in"):
        shared.apply(tasks.make_unreadable)
    assert shared.apply(tasks.square, (2,)) == 4


def test_lambdas_and_closures_travel(shared: Pool) -> None:
    offset = 10
    assert shared.map(lambda x: x + offset, [1, 2]) == [11, 12]
    assert shared.apply(lambda: offset) == 10


# -- callbacks


def test_callbacks_have_run_before_waiting_ends(pool: Pool) -> None:
    called: list[Any] = []
    for _ in range(20):
        pool.apply_async(tasks.square, (3,), callback=called.append).wait()
        pool.map_async(tasks.square, [1, 2], callback=called.append).wait()
        pool.starmap_async(tasks.add, [(1, 2)], callback=called.append).get()
    assert called == [9, [1, 4], [3]] * 20


def test_error_callbacks(pool: Pool) -> None:
    called: list[Any] = []
    for result in (
        pool.apply_async(tasks.fail, (1,), callback=called.append, error_callback=called.append),
        pool.map_async(tasks.fail, [1], callback=called.append, error_callback=called.append),
    ):
        result.wait()
        with pytest.raises(ValueError) as caught:
            result.get()
        assert any(caught.value is error for error in called)  # the other one may have been called before it
    assert len(called) == 2


def test_a_callback_may_use_the_pool(pool: Pool) -> None:
    inner: list[Any] = []
    pool.apply_async(
        tasks.square, (2,), callback=lambda x: inner.append(pool.apply(tasks.square, (x,)))
    ).wait()
    assert inner == [16]


def test_a_callback_that_raises_is_told_and_harms_nobody(pool: Pool, monkeypatch: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    result = pool.apply_async(tasks.square, (2,), callback=lambda x: 1 / 0)
    assert result.get() == 4
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert pool.apply(tasks.square, (2,)) == 4


# -- workers


def test_initializer_runs_once_in_every_worker(start_method: str) -> None:
    with Pool(2, tasks.remember, ("a", 1), start_method=start_method) as pool:
        assert pool.map(tasks.recall, range(4)) == [["a", 1]] * 4


def test_maxtasksperchild_counts_chunks() -> None:
    with Pool(1, maxtasksperchild=2) as pool:
        pids = pool.map(tasks.pid, range(8), 2)
        assert pids == [pids[0]] * 4 + [pids[4]] * 4
        assert pids[0] != pids[4]
        alone = [pool.apply(tasks.pid) for _ in range(6)]
        assert len(set(alone)) == 3


def test_work_runs_elsewhere(pool: Pool) -> None:
    import os

    is_here = pool.apply(tasks.pid) == os.getpid()
    assert is_here == isinstance(pool, ThreadPool)
    if is_here:
        assert pool.apply(tasks.thread_name) != threading.current_thread().name


def test_a_thread_pool_copies_nothing() -> None:
    thing = object()
    with ThreadPool(2) as pool:
        assert pool.map(lambda x: x, [thing])[0] is thing
        assert pool.apply(lambda: threading.Lock())


# -- wrong use


@pytest.mark.parametrize("number", [0, -1])
def test_number_of_processes(number: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pool(number)


@pytest.mark.parametrize("number", [0, -1, 0.5, "12"])
def test_maxtasksperchild_is_checked(number: Any) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild"):
        Pool(1, maxtasksperchild=number)


def test_options_are_checked_at_the_call(shared: Pool) -> None:
    with pytest.raises(TypeError, match="did you mean 'start_method'"):
        Pool(1, start_methods="fork")
    with pytest.raises(TypeError, match="did you mean 'processes'"):
        Pool(max_workers=1)
    with pytest.raises(TypeError, match="callable"):
        Pool(1, initializer=3)
    with pytest.raises(ValueError, match="did you mean 'spawn'"):
        Pool(1, start_method="spwan")
    with pytest.raises(ValueError, match=r"[Cc]hunksize"):
        shared.imap(tasks.square, [1], chunksize=0)


def test_a_closed_pool_takes_nothing(pool: Pool) -> None:
    pool.close()
    calls: list[Any] = [
        lambda: pool.apply(tasks.square, (1,)),
        lambda: pool.apply_async(tasks.square, (1,)),
        lambda: pool.map(tasks.square, [1]),
        lambda: pool.map_async(tasks.square, [1]),
        lambda: pool.starmap(tasks.add, [(1,)]),
        lambda: pool.starmap_async(tasks.add, [(1,)]),
        lambda: pool.imap(tasks.square, [1]),
        lambda: pool.imap_unordered(tasks.square, [1]),
        lambda: pool.__enter__(),
    ]
    for call in calls:
        with pytest.raises(PoolClosed) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    pool.join()
    with pytest.raises(PoolClosed):
        pool.map(tasks.square, [])


def test_joining_an_open_pool(shared: Pool) -> None:
    with pytest.raises(ValueError, match="still running"):
        shared.join()


def test_a_pool_does_not_travel(shared: Pool) -> None:
    with pytest.raises(NotImplementedError):
        pickle.dumps(shared)


# -- the end


def test_closing_finishes_what_was_accepted(pool: Pool) -> None:
    results = [pool.apply_async(tasks.nap, (0.01,)) for _ in range(5)]
    mapped = pool.map_async(tasks.square, range(10))
    streamed = pool.imap(tasks.square, iter(range(10)))
    pool.close()
    pool.close()
    pool.join()
    pool.join()
    assert [result.get() for result in results] == [0.01] * 5
    assert mapped.get() == list(streamed) == [x * x for x in range(10)]


def test_terminating_drops_what_is_not_done(door: Door) -> None:
    pool = Pool(2)
    results = pool.map_async(door.pass_through, range(1000), chunksize=1)
    door.wait_until_somebody_is_there(0)
    pool.terminate()
    pool.terminate()
    pool.join()
    assert len(door.who_came()) < 1000
    assert "TERMINATE" in repr(pool)
    del results


def test_terminating_threads_lets_what_runs_end(door: Door) -> None:
    pool = ThreadPool(2)
    pool.map_async(door.pass_through, range(1000), chunksize=1)
    door.wait_until_somebody_is_there(0)
    threading.Timer(0.05, door.open).start()
    pool.terminate()
    pool.join()
    assert len(door.who_came()) <= 10


def test_leaving_terminates() -> None:
    with Pool(1) as pool:
        pool.apply_async(tasks.nap, (60,))
    with pytest.raises(ValueError):
        pool.apply(tasks.square, (1,))


def test_a_forgotten_pool_warns_and_ends() -> None:
    pool = Pool(1)
    assert pool.apply(tasks.square, (2,)) == 4
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):  # noqa: PT031
        del pool
        gc.collect()


def test_a_forgotten_pool_in_a_cycle_ends_too() -> None:
    pool: Any = Pool(1)
    pool.me = pool
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del pool
        gc.collect()


def test_repr() -> None:
    with Pool(2) as pool:
        assert repr(pool) == "<phalanx.pool.Pool state=RUN pool_size=2>"
        result = pool.apply_async(tasks.square, (1,))
        assert "AsyncResult" in repr(result)
        result.wait()
        pool.close()
        assert "CLOSE" in repr(pool)
    with ThreadPool(1) as threads:
        assert repr(threads) == "<phalanx.pool.ThreadPool state=RUN pool_size=1>"


def test_the_door_of_the_package_is_the_class() -> None:
    assert phalanx.Pool is Pool
