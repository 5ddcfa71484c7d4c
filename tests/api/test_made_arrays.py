"""Arrays in shared memory that a task has made, or has kept: they go back as what they are."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest

import phalanx
from phalanx import Executor

np = pytest.importorskip("numpy")

kept: list[Any] = []


def make(size: int) -> Any:
    return phalanx.zeros(size)


def make_and_keep(size: int) -> Any:
    kept.append(phalanx.zeros(size))
    return {"made": [kept[-1][1:]], "ordinary": np.ones(200_000)}


def keep(thing: Any) -> None:
    kept.append(thing)


def whole() -> Any:
    return kept[-1]


def drop() -> None:
    kept.clear()


def write(thing: Any, number: int) -> None:
    thing[0] = number


def write_into_kept(number: int) -> None:
    kept[-1][0] = number


def look_at_kept() -> list[float]:
    return kept[-1].tolist()  # type: ignore[no-any-return]


def share_here() -> Any:
    return phalanx.share([1])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_shared(thing: Any) -> bool:
    return type(thing) is not np.ndarray and isinstance(thing, np.ndarray)


def test_what_a_task_makes_and_returns_is_shared_with_its_worker(start_method: str) -> None:
    with Executor(1, start_method=start_method) as executor:
        found = executor.submit(make_and_keep, 5).result()
        view = found["made"][0]
        assert is_shared(view)
        assert found["ordinary"].sum() == 200_000
        view[0] = 7
        assert executor.submit(look_at_kept).result() == [0, 7, 0, 0, 0]
        executor.submit(write_into_kept, 3).result()
        again = executor.submit(whole).result()
        assert again.tolist() == [3, 7, 0, 0, 0]
        again[1] = 8
        assert view[0] == 8
    assert view.tolist() == [8, 0, 0, 0]


def test_it_goes_on_to_other_workers() -> None:
    with Executor(1) as first, Executor(1) as second:
        made = first.submit(make_and_keep, 3).result()["made"][0]
        back = second.submit(keep, made)
        back.result()
        second.submit(write, made, 5).result()
        first.submit(write, made, 6).result()
        assert made[0] == 6
        assert first.submit(look_at_kept).result() == [0, 6, 0]
        assert second.submit(look_at_kept).result() == [6, 0]


def test_it_outlives_its_worker() -> None:
    with Executor(1) as executor:
        made = executor.submit(make, 3).result()
    write(made, 4)
    with Executor(1) as executor:
        executor.submit(write, made[1:], 5).result()
    assert made.tolist() == [4, 5, 0]


def test_one_that_was_dropped_here_comes_again() -> None:
    with Executor(1) as executor:
        for number in (1, 2, 3):
            if number == 1:
                executor.submit(make_and_keep, 2).result()
            executor.submit(write_into_kept, number).result()
            found = executor.submit(whole).result()
            assert found.tolist() == [number, 0]
            found[1] = number
            assert executor.submit(look_at_kept).result() == [number, number]
            found[1] = 0
            del found
            gc.collect()


def test_one_that_a_worker_keeps_comes_back_after_it_was_dropped_here(start_method: str) -> None:
    with Executor(1, start_method=start_method) as executor:
        table = phalanx.array([1.0, 2.0])
        executor.submit(keep, table[:]).result()
        del table
        gc.collect()
        for _ in range(3):  # before the worker has heard of that, and after
            found = executor.submit(whole).result()
            assert found.tolist() == [1, 2]
            found[0] = 5
            assert executor.submit(look_at_kept).result() == [5, 2]
            executor.submit(write, found, 1).result()
            assert found[0] == 1
            del found
            gc.collect()
        executor.submit(drop).result()


def test_they_go_through_workers_that_have_workers() -> None:
    with Executor(1) as executor:
        made = executor.submit(phalanx.map, make, [3], workers=1, start_method="fork").result()[0]
    assert is_shared(made)
    assert made.tolist() == [0, 0, 0]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_nothing_is_left_of_them() -> None:
    with Executor(1) as executor:
        for _ in range(5):
            executor.submit(make, 100_000).result()
        here, there = descriptors(), executor.submit(descriptors).result()
        for _ in range(100):
            made = executor.submit(make, 100_000).result()
            executor.submit(write, made, 1).result()
        del made
        executor.submit(drop).result()
        assert descriptors() <= here + 1
        assert executor.submit(descriptors).result() <= there + 1


def test_where_a_block_cannot_go_a_copy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise OSError("no descriptors today")

    monkeypatch.setattr("socket.send_fds", refuse)
    with Executor(1, start_method="fork") as executor:
        found = executor.submit(make_and_keep, 3).result()["made"][0]
        assert found.tolist() == [0, 0]
        assert not is_shared(found)


def test_what_a_task_shares_is_not_for_its_caller(start_method: str) -> None:
    handle = phalanx.share([1])
    with Executor(1, start_method=start_method) as executor:
        assert executor.submit(len, handle).result() == 1
        with pytest.raises(Exception, match="send the object itself"):
            executor.submit(share_here).result()
