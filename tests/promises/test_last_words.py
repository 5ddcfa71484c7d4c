"""A worker that dies says what of and where; one that is stuck says where, and goes on."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from phalanx._engine.workers import Worker
from phalanx._platform.asking import StackRequest, ask_for_stack
from phalanx._platform.stacks import tell
from phalanx.errors import WorkerLost, WorkerStartFailed
from phalanx.pool import Pool
from tests.api import tasks
from tests.promises.tasks import wait_until


def read_nowhere(x: int) -> int:
    if x == 3:
        ctypes.string_at(0)
    return x


def give_up(x: int) -> int:
    if x == 3:
        os.abort()
    return x


def kill_myself(x: int, signum: int = signal.SIGKILL) -> int:
    if x == 3:
        os.kill(os.getpid(), signum)
    return x


def terminate_myself(x: int) -> int:
    return kill_myself(x, signal.SIGTERM)


def leave_by_the_window(x: int) -> int:
    if x == 3:
        os._exit(3)
    return x


def leave_by_the_door(x: int) -> int:
    if x == 3:
        sys.exit("had enough")
    return x


def have_a_child_that_crashes(_: Any = None) -> None:
    pid = os.fork()
    if not pid:
        ctypes.string_at(0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV
    os.kill(os.getpid(), signal.SIGKILL)


DEATHS = {
    read_nowhere: ("SIGSEGV (segmentation fault in C code)", signal.SIGSEGV, None),
    give_up: ("SIGABRT (C code gave up and called abort())", signal.SIGABRT, None),
    kill_myself: ("SIGKILL", signal.SIGKILL, None),
    terminate_myself: ("SIGTERM", signal.SIGTERM, None),
    leave_by_the_window: ("exit code 3 (os._exit or sys.exit?)", None, 3),
}


def test_each_death_is_told_in_words_of_the_item_that_died_of_it(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        for function, expected in DEATHS.items():
            outcomes: list[Any] = []
            results = [pool.apply_async(function, (x,)) for x in range(6)]
            for result in results:
                try:
                    outcomes.append(result.get())
                except WorkerLost as error:
                    outcomes.append(error)
            error = outcomes.pop(3)
            assert outcomes == [0, 1, 2, 4, 5]
            assert isinstance(error, WorkerLost)
            assert (error.reason, error.signal, error.exitcode) == expected
            assert f"ended: {error.reason}" in str(error)
            assert error.arguments == "3"
            assert_stack_of(function, error)


def assert_stack_of(function: Callable[..., object], error: WorkerLost) -> None:
    """Those that die of a fault of C code leave one."""
    if error.signal in (signal.SIGSEGV, signal.SIGABRT):
        name = function.__name__
        assert error.stack is not None
        # The user's function is the outermost: nothing of ours, nor of what started the worker.
        assert re.match(rf'  File ".*test_last_words.py", line \d+, in {name}\n    \S', error.stack)
        assert re.search(rf", in {name} \(.*test_last_words.py, line \d+\)\. ", str(error))
    else:
        assert error.stack is None


def test_leaving_by_an_exception_is_no_death(start_method: str) -> None:
    with Pool(1, start_method=start_method) as pool:
        with pytest.raises(SystemExit, match="had enough"):
            pool.apply(leave_by_the_door, (3,))
        assert pool.apply(leave_by_the_door, (4,)) == 4


def test_the_crash_of_a_child_is_not_told_as_the_workers_own() -> None:
    with Pool(1) as pool, pytest.raises(WorkerLost) as caught:
        pool.apply(have_a_child_that_crashes)
    assert (caught.value.reason, caught.value.stack) == ("SIGKILL", None)


def test_one_crash_after_another_in_the_same_place_is_told_each_as_itself() -> None:
    """The second worker has the page of the first."""
    with Pool(1) as pool:
        for function, other in [(read_nowhere, give_up), (give_up, read_nowhere)] * 2:
            with pytest.raises(WorkerLost) as caught:
                pool.apply(function, (3,))
            assert function.__name__ in (caught.value.stack or "")
            assert other.__name__ not in (caught.value.stack or "")


# -- asked while they run


def stuck_in_python(seconds: float) -> int:
    until, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        rounds += 1
    return rounds


def asleep(seconds: float) -> float:
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began


def stuck_in_c(size: int) -> int:
    return sum(range(size))


def engine_of(pool: Pool) -> Any:
    return pool._session.engine


def ask(pool: Pool, worker: Worker) -> StackRequest:
    engine = engine_of(pool)
    kill = partial(engine.launcher.kill, worker.identity.worker)
    return ask_for_stack(engine.launcher.setup.pages, worker.identity.page, worker.identity.worker, kill)


def answer(pool: Pool, worker: Worker) -> tuple[str, str]:
    """The stack, and where it is in one line."""
    request = ask(pool, worker)
    assert request.refused is None
    assert wait_until(request.is_whole)
    stack, where = tell(request.text())
    return stack or "", where or ""


@pytest.mark.parametrize(
    ("function", "argument"), [(stuck_in_python, 0.5), (asleep, 0.5), (stuck_in_c, 30_000_000)]
)
def test_a_worker_that_is_stuck_says_where_and_goes_on(
    start_method: str, function: Callable[[Any], Any], argument: Any
) -> None:
    with Pool(1, start_method=start_method) as pool:
        assert pool.apply(tasks.square, (3,)) == 9
        [worker] = engine_of(pool).workers.values()
        result = pool.apply_async(function, (argument,))
        name = function.__name__
        assert wait_until(lambda: name in answer(pool, worker)[0])
        for _ in range(5):
            stack, where = answer(pool, worker)
            assert re.match(rf'  File ".*test_last_words.py", line \d+, in {name}\n', stack)
            assert where.startswith(f"{name} (")
        outcome = result.get()
        expected = sum(range(argument)) if function is stuck_in_c else None
        assert outcome == expected or (expected is None and outcome >= argument)
        assert wait_until(lambda: "no code of yours" in answer(pool, worker)[0])
        assert pool.apply(tasks.pid) == worker.pid


def test_a_worker_that_is_stuck_in_its_initializer_says_so(start_method: str) -> None:
    with Pool(1, initializer=asleep, initargs=(0.5,), start_method=start_method) as pool:
        result = pool.apply_async(tasks.square, (3,))
        assert wait_until(lambda: bool(engine_of(pool).workers))
        [worker] = engine_of(pool).workers.values()
        assert wait_until(lambda: ask(pool, worker).refused is None)
        assert wait_until(lambda: answer(pool, worker)[1].startswith("asleep ("))
        assert result.get() == 9


def ask_all(pool: Pool) -> int:
    """How many could be asked."""
    engine = engine_of(pool)
    with engine.lock:  # so that none is forgotten meanwhile
        return sum(ask(pool, worker).refused is None for worker in engine.workers.values())


def ask_all_until(pool: Pool, over: Callable[[], bool]) -> int:
    """How often somebody was asked meanwhile."""
    asked = 0
    until = time.monotonic() + 20
    while not over():
        assert time.monotonic() < until
        asked += ask_all(pool)
    return asked


def test_workers_that_are_just_starting_or_ending_can_be_asked(start_method: str) -> None:
    """Each is replaced after each item; none dies of being asked, or the item would be lost."""
    with Pool(2, maxtasksperchild=1, start_method=start_method) as pool:
        result = pool.map_async(tasks.square, range(12), chunksize=1)
        assert ask_all_until(pool, result.ready) > 0
        assert result.get() == [x * x for x in range(12)]
        pool.close()
        ask_all_until(pool, lambda: not engine_of(pool).workers)
        pool.join()


def crash_at_start() -> None:
    ctypes.string_at(0)


def leave_at_start() -> None:
    os._exit(7)


@pytest.mark.parametrize(
    ("initializer", "words"),
    [
        (
            crash_at_start,
            "ended before it was ready: SIGSEGV (segmentation fault in C code), in crash_at_start",
        ),
        (leave_at_start, "ended before it was ready: exit code 7"),
    ],
)
def test_a_worker_that_dies_in_its_initializer_says_what_of(
    start_method: str, initializer: Callable[[], None], words: str
) -> None:
    with Pool(2, initializer=initializer, start_method=start_method) as pool:
        with pytest.raises(WorkerStartFailed, match="workers cannot start") as caught:
            pool.map(abs, range(3))
    assert words in str(caught.value)
    assert isinstance(caught.value.__cause__, WorkerLost)
