"""`Executor`: a `concurrent.futures.Executor`, and what it can do beyond one."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import gc
import itertools
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import phalanx
import phalanx.futures
from phalanx import Executor
from phalanx.errors import NotSendable, PoolClosed, WorkerLost
from tests.api import tasks
from tests.api.tasks import Door


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(2) as found:
        yield found


def test_core_by_every_start_method(start_method: str) -> None:
    with Executor(2, start_method=start_method) as executor:
        future = executor.submit(tasks.collect, 1, a=2)
        assert future.result() == ((1,), {"a": 2})
        assert list(executor.map(tasks.add, [1, 2], [3, 4])) == [4, 6]
        assert list(executor.stream(tasks.square, range(10))) == [x * x for x in range(10)]
        with pytest.raises(ValueError, match="x"):
            executor.submit(tasks.fail, "x").result()
        assert [type(e).__name__ for e in [executor.submit(tasks.die).exception()]] == ["WorkerLost"]
        assert executor.submit(tasks.square, 3).result() == 9


def test_core_by_every_backend(backend: str) -> None:
    with Executor(2, backend=backend) as executor:
        futures = [executor.submit(tasks.square, x) for x in range(20)]
        assert [future.result() for future in futures] == [x * x for x in range(20)]
        assert list(executor.map(tasks.add, [1, 2], [3, 4])) == [4, 6]
        assert list(executor.map(tasks.square, iter(range(20)), chunksize=3)) == [x * x for x in range(20)]
        assert sorted(executor.stream(tasks.square, range(20), ordered=False)) == [x * x for x in range(20)]
        error = executor.submit(tasks.fail, "x").exception()
        assert isinstance(error, ValueError)
        assert "item" in error.__notes__[0]
        assert isinstance(executor.submit(tasks.leave, 3).exception(), SystemExit)
        assert executor.submit(tasks.pid).result() > 0


def test_it_is_the_standard_executor_by_another_name() -> None:
    assert issubclass(Executor, concurrent.futures.Executor)
    assert phalanx.futures.ProcessPoolExecutor is Executor


# -- submit


def test_keywords_named_as_parameters_of_submit_pass_through(executor: Executor) -> None:
    assert executor.submit(tasks.collect, self=1, fn=2).result() == ((), {"self": 1, "fn": 2})
    with pytest.raises(TypeError):
        executor.submit(fn=tasks.square, x=1)  # type: ignore[call-arg]


def test_what_cannot_be_sent_fails_the_future(executor: Executor) -> None:
    lock = threading.Lock()
    error = executor.submit(tasks.square, lock).exception()
    assert isinstance(error, NotSendable)
    assert (error.side, error.path) == ("argument", "args[0]")
    error = executor.submit(tasks.collect, key=[lock]).exception()
    assert isinstance(error, NotSendable)
    assert error.path == "kwargs['key'][0]"
    error = executor.submit(tasks.make_lock).exception()
    assert isinstance(error, NotSendable)
    assert error.side == "result"
    assert isinstance(executor.submit(tasks.make_unreadable).exception(), RuntimeError)
    assert executor.submit(tasks.square, 2).result() == 4


def test_errors_have_a_remote_cause_and_a_note(executor: Executor) -> None:
    error = executor.submit(tasks.fail, "long" * 100).exception()
    assert error is not None
    assert type(error.__cause__) is concurrent.futures.process._RemoteTraceback
    assert "raise ValueError(x)" in str(error.__cause__)
    [note] = error.__notes__
    assert "item 0" in note
    assert "worker process" in note
    assert len(note) < 250


def test_a_lost_worker_costs_one_call(executor: Executor) -> None:
    lost = executor.submit(tasks.die, "an argument")
    error = lost.exception()
    assert isinstance(error, WorkerLost)
    assert isinstance(error, concurrent.futures.process.BrokenProcessPool)
    assert (error.signal, error.exitcode) == (9, None)
    assert error.pid == lost.worker_pid
    assert "SIGKILL" in str(error)
    assert "an argument" in str(error.arguments)
    assert [executor.submit(tasks.square, x).result() for x in range(5)] == [0, 1, 4, 9, 16]


def test_workers_start_on_demand() -> None:
    with Executor(4) as executor:
        assert executor._processes == {}
        for _ in range(3):
            executor.submit(tasks.pid).result()
        assert len(executor._processes) == 1


def test_first_calls_from_many_threads_open_one_session() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            with Executor(2) as executor:
                pids: list[int] = []
                barrier = threading.Barrier(8)

                def call(executor: Executor = executor, barrier: Any = barrier, pids: Any = pids) -> None:
                    barrier.wait()
                    pids.append(executor.submit(tasks.pid).result())

                threads = [threading.Thread(target=call) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len(pids) == 8
                assert len(set(pids)) <= 2
    finally:
        sys.setswitchinterval(before)


# -- map


def test_map_raises_in_the_items_place(executor: Executor) -> None:
    results = executor.map(tasks.fail_on_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="bad 3"):
        next(results)


def test_map_timeout(executor: Executor, door: Door) -> None:
    results = executor.map(door.pass_through, [1], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)


def test_map_arguments_are_checked_at_the_call(executor: Executor) -> None:
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(tasks.square, [1], chunksize=wrong)
        with pytest.raises(ValueError, match="buffersize"):
            executor.map(tasks.square, [1], buffersize=wrong)
    assert list(executor.map(tasks.square, [])) == []
    assert list(executor.map(tasks.add, [1, 2, 3], [1])) == [2]


def test_a_map_that_nobody_reads_runs_all_the_same(door: Door) -> None:
    door.open()
    with Executor(2) as executor:
        executor.map(door.pass_through, range(5))
    assert door.who_came() == set("01234")


def test_a_map_that_is_left_cancels_what_has_not_started(door: Door) -> None:
    with Executor(1) as executor:
        results = executor.map(door.pass_through, range(5), timeout=0.2)
        door.wait_until_somebody_is_there(0)
        with pytest.raises(TimeoutError):
            next(results)
        door.open()
    assert door.who_came() == {"0"}


def test_map_with_a_buffer_is_lazy(executor: Executor) -> None:
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for x in itertools.count():
            pulled.append(x)
            yield x

    results = executor.map(tasks.square, items(), buffersize=4)
    assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    assert len(pulled) <= 10 + 4 + 1
    del results


def test_an_endless_map_that_is_dropped_ends() -> None:
    with Executor(2) as executor:
        results = executor.map(tasks.square, itertools.count(), buffersize=4)
        assert next(results) == 0
        del results
        gc.collect()


# -- stream


def test_stream_goes_on_after_an_error(executor: Executor) -> None:
    results, seen = executor.stream(tasks.fail_on_three, range(5)), []
    while True:
        try:
            seen.append(next(results))
        except StopIteration:
            break
        except ValueError as error:
            seen.append(str(error))
    assert seen == [0, 1, 2, "bad 3", 4]


def test_closing_a_stream_cancels_what_has_not_started(executor: Executor, door: Door) -> None:
    stream = executor.stream(door.pass_through, range(1000))
    door.wait_until_somebody_is_there(0)
    stream.close()
    stream.close()
    assert list(stream) == []
    door.open()
    assert executor.submit(tasks.square, 2).result() == 4
    assert len(door.who_came()) < 1000


def test_a_dropped_stream_ends(executor: Executor) -> None:
    stream = executor.stream(tasks.square, itertools.count())
    assert next(stream) == 0
    del stream
    gc.collect()
    assert executor.submit(tasks.square, 2).result() == 4


# -- options


def test_options_of_a_view_hold_for_its_calls() -> None:
    with Executor(2) as executor:
        view = executor.options(chunksize=7)
        seen: list[Any] = []
        shown = view.options(progress=lambda done, total: seen.append((done, total)))
        assert list(view.map(tasks.square, range(20))) == [x * x for x in range(20)]
        assert list(shown.map(tasks.square, range(20))) == [x * x for x in range(20)]
        assert seen[-1] == (20, 20)
        assert view.submit(tasks.pid).result() in executor._processes


def test_a_view_outlives_the_name_it_was_made_from() -> None:
    executor = Executor(1).options(chunksize=5)
    gc.collect()
    assert executor.submit(tasks.square, 2).result() == 4
    executor.shutdown()


def test_options_of_the_workers_belong_to_the_executor(executor: Executor) -> None:
    with pytest.raises(TypeError, match="belongs to the workers"):
        executor.options(start_method="fork")
    with pytest.raises(TypeError, match="belongs to the workers"):
        executor.options(max_workers=3)
    with pytest.raises(TypeError, match="did you mean 'chunksize'"):
        executor.options(chunk_size=3)
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        executor.options(chunksize=0)


@pytest.mark.parametrize(
    ("wrong", "kind", "hint"),
    [
        ({"max_workers": 0}, ValueError, "must be greater than 0"),
        ({"max_workers": -1}, ValueError, "must be greater than 0"),
        ({"max_workers": "2"}, TypeError, "must be an integer"),
        ({"workers": 2}, TypeError, "did you mean 'max_workers'"),
        ({"processes": 2}, TypeError, "did you mean 'max_workers'"),
        ({"n_jobs": 2}, TypeError, "did you mean 'max_workers'"),
        ({"max_task_per_child": 2}, TypeError, "did you mean 'max_tasks_per_child'"),
        ({"max_tasks_per_child": 0}, ValueError, "must be >= 1"),
        ({"initializer": 3}, TypeError, "must be a callable"),
        ({"initargs": "abc"}, TypeError, "must be a tuple"),
        ({"backend": "thread"}, ValueError, "did you mean 'threads'"),
        ({"start_method": "forked"}, ValueError, "did you mean 'fork'"),
        ({"backend": "threads", "start_method": "fork"}, ValueError, "leave one of the two out"),
        ({"journal": "x"}, TypeError, "unknown option 'journal'"),
    ],
)
def test_wrong_options_raise_at_the_call(wrong: dict[str, Any], kind: type[Exception], hint: str) -> None:
    with pytest.raises(kind) as caught:
        Executor(**wrong)
    assert hint in str(caught.value)


def test_a_context_gives_the_start_method() -> None:
    with Executor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert executor.submit(tasks.start_method_of).result() == "SpawnProcess"


def test_initializer_and_recycling(start_method: str) -> None:
    with Executor(
        1, initializer=tasks.remember, initargs=(1, 2), max_tasks_per_child=2, start_method=start_method
    ) as executor:
        assert executor.submit(tasks.recall).result() == [1, 2]
        pids = [executor.submit(tasks.pid).result() for _ in range(5)]
        assert len(set(pids)) == 3
        assert executor.submit(tasks.recall).result() == [1, 2]


# -- resize


def test_resizing(executor: Executor, door: Door) -> None:
    executor.resize(4)
    futures = [executor.submit(door.pass_through, x) for x in range(4)]
    for x in range(4):
        door.wait_until_somebody_is_there(x)
    assert len(executor._processes) == 4
    executor.resize(1)
    door.open()
    assert [future.result() for future in futures] == list(range(4))
    pids = {executor.submit(tasks.pid).result() for _ in range(8)}
    assert len(pids) == 1
    with pytest.raises(ValueError, match="greater than 0"):
        executor.resize(0)


# -- the end


def test_shutdown_waits_for_everything(backend: str) -> None:
    executor = Executor(2, backend=backend)
    futures = [executor.submit(tasks.nap, 0.01) for _ in range(5)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    executor.shutdown()
    for call in (
        lambda: executor.submit(tasks.square, 1),
        lambda: executor.map(tasks.square, [1]),
        lambda: executor.stream(tasks.square, [1]),
    ):
        with pytest.raises(PoolClosed) as caught:
            call()
        assert isinstance(caught.value, RuntimeError)


def test_shutdown_without_waiting(door: Door) -> None:
    executor = Executor(1)
    future = executor.submit(door.pass_through, 1)
    executor.shutdown(wait=False)
    assert not future.done()
    with pytest.raises(PoolClosed):
        executor.submit(tasks.square, 1)
    door.open()
    assert future.result() == 1


def test_shutdown_that_cancels(door: Door) -> None:
    executor = Executor(2)
    futures = [executor.submit(door.pass_through, x) for x in range(50)]
    door.wait_until_somebody_is_there(0)
    threading.Timer(0.1, door.open).start()
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    ran = [future for future in futures if not future.cancelled()]
    assert {future.result() for future in ran} == {int(x) for x in door.who_came()}
    assert 1 <= len(ran) <= 4


def test_shutting_down_what_was_never_used() -> None:
    executor = Executor(2)
    executor.shutdown()
    with pytest.raises(PoolClosed):
        executor.submit(tasks.square, 1)
    with Executor(2):
        pass


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_leaving_by_an_interrupt_stops_everything(kind: type[BaseException], door: Door) -> None:
    futures: list[Any] = []
    with pytest.raises(kind):
        with Executor(1) as executor:
            futures = [executor.submit(door.pass_through, x) for x in range(5)]
            door.wait_until_somebody_is_there(0)
            raise kind
    assert all(future.done() for future in futures)
    assert door.who_came() <= {"0"}


def test_leaving_by_an_ordinary_error_waits(door: Door) -> None:
    door.open()
    with pytest.raises(KeyError):
        with Executor(1) as executor:
            futures = [executor.submit(door.pass_through, x) for x in range(5)]
            raise KeyError
    assert [future.result() for future in futures] == list(range(5))


def test_a_dropped_executor_finishes_and_leaves_nothing(backend: str) -> None:
    for _ in range(3):
        executor = Executor(2, backend=backend)
        future = executor.submit(tasks.nap, 0.02)
        results = executor.map(tasks.square, range(5))
        del executor
        gc.collect()
        assert list(results) == [0, 1, 4, 9, 16]
        assert future.result() == 0.02


def test_a_callback_may_use_the_executor(executor: Executor) -> None:
    inner: list[Any] = []
    done = threading.Event()

    def call(future: Any) -> None:
        inner.append(executor.submit(tasks.square, future.result()).result())
        done.set()

    executor.submit(tasks.square, 2).add_done_callback(call)
    assert done.wait(30)
    assert inner == [16]


def test_repr() -> None:
    executor = Executor(3)
    assert repr(executor) == "<phalanx.Executor open, at most 3 workers>"
    executor.shutdown()
    assert repr(executor) == "<phalanx.Executor shut down, at most 3 workers>"
    assert Executor.__module__ == "phalanx"
