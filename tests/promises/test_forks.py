"""The user's own forks while a pool lives."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phalanx import Executor
from phalanx.errors import PoolClosed
from phalanx.pool import Pool
from tests.api import tasks
from tests.api.tasks import Door

# From CPython 3.12 on: the pool's thread may be about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_a_fork(do: Callable[[], Any]) -> Any:
    """What `do()` returns or raises in a child that leaves by `os._exit`."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            try:
                outcome = do()
            except BaseException as error:
                outcome = error
            os.write(write, pickle.dumps(outcome))
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return pickle.loads(data)


def test_children_that_just_leave_disturb_nothing() -> None:
    with Pool(2) as pool:
        result = pool.map_async(tasks.nap, [0.001] * 500, 1)
        stream = pool.imap(tasks.square, iter(range(500)))
        for x in range(20):
            assert in_a_fork(lambda x=x: x) == x
            assert next(stream) == x * x
        assert result.get() == [0.001] * 500
        assert list(stream) == [x * x for x in range(20, 500)]


def test_a_child_that_touches_the_pool_is_told_what_is_wrong(door: Door) -> None:
    with Pool(2) as pool, Executor(2) as executor:
        result = pool.map_async(tasks.nap, [0.01] * 30, 1)
        stream = pool.imap(tasks.square, iter(range(30)))
        future = executor.submit(door.pass_through, 3)
        touches: list[Callable[[], Any]] = [
            lambda: pool.map(tasks.square, [1]),
            lambda: pool.apply(tasks.square, (1,)),
            lambda: list(pool.imap(tasks.square, [1])),
            lambda: result.get(),
            lambda: list(stream),
            lambda: executor.submit(tasks.square, 1),
            lambda: list(executor.map(tasks.square, [1])),
            lambda: list(executor.stream(tasks.square, [1])),
            lambda: future.result(),
        ]
        for number, touch in enumerate(touches):
            error = in_a_fork(touch)
            assert isinstance(error, PoolClosed), (number, error)
            assert "forked" in str(error)
        assert result.get() == [0.01] * 30
        assert list(stream) == [x * x for x in range(30)]
        door.open()
        assert future.result() == 3
        assert pool.map(tasks.square, [1, 2]) == list(executor.map(tasks.square, [1, 2])) == [1, 4]


def test_a_child_that_ends_its_copy_ends_nothing() -> None:
    with Pool(2) as pool, Executor(2) as executor:
        result = pool.map_async(tasks.nap, [0.01] * 30, 1)
        future = executor.submit(tasks.nap, 0.3)

        def end() -> str:
            assert not future.cancel()
            pool.terminate()
            pool.join()
            executor.shutdown(cancel_futures=True)
            return "ended"

        assert in_a_fork(end) == "ended"
        assert result.get() == [0.01] * 30
        assert future.result() == 0.3


def test_a_child_may_have_a_pool_of_its_own() -> None:
    def use() -> Any:
        with Pool(2) as own:
            return own.map(tasks.square, range(10))

    with Pool(2) as pool:
        result = pool.map_async(tasks.nap, [0.01] * 30, 1)
        assert in_a_fork(use) == [x * x for x in range(10)]
        assert result.get() == [0.01] * 30


def _use_own_pool() -> None:
    with Pool(1) as own:
        assert own.map(tasks.square, range(10)) == [x * x for x in range(10)]


def test_a_standard_process_while_a_pool_lives(start_method: str) -> None:
    context: Any = multiprocessing.get_context(start_method)
    with Pool(2) as pool:
        result = pool.map_async(tasks.nap, [0.01] * 30, 1)
        process = context.Process(target=_use_own_pool)
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()
        assert result.get() == [0.01] * 30


def test_a_child_that_leaves_by_sys_exit_in_the_middle_of_everything(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from phalanx import Executor, Pool
            pool, executor = Pool(2), Executor(2)
            result = pool.map_async(time.sleep, [0.01] * 30, 1)
            stream = pool.imap(abs, iter(range(100)))
            futures = [executor.submit(time.sleep, 0.01) for _ in range(30)]
            called = []
            futures[-1].add_done_callback(called.append)
            pids = []
            for number in range(3):
                next(stream)
                pid = os.fork()
                if not pid:
                    sys.exit(number)
                pids.append(pid)
            print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids], flush=True)
            print(len(result.get()), len(list(stream)), len([f.result() for f in futures]), flush=True)
            executor.shutdown()
            print(len(called), called == futures[-1:], flush=True)
            pool.close()
            pool.join()
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["[0, 1, 2]", "30 97 30", "1 True"]
