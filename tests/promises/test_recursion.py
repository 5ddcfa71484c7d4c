"""A recursion limit that is hit inside any call, at every depth that the call reaches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from phalanx import Executor
from phalanx.pool import Pool
from tests.api import tasks
from tests.promises.tasks import Record

# What was being made when the limit was hit is freed by the collector, which says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

DEEPEST = 80
"""More frames than any call needs."""


def depth() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1  # type: ignore[assignment]
    return count


def dive(levels: int, call: Callable[[], Any]) -> Any:
    return call() if levels <= 0 else dive(levels - 1, call)


def with_room(room: int, call: Callable[[], Any]) -> Any:
    """Call with so many frames left before the limit."""
    return dive(sys.getrecursionlimit() - depth() - room, call)


def try_all_rooms(call: Callable[[int], Any], repeat: int = 3) -> tuple[int, int]:
    """Call with every room; how often that succeeded and how often the limit was hit."""
    good = bad = 0
    for room in range(DEEPEST):
        for _ in range(repeat):
            try:
                with_room(room, lambda room=room: call(room))
                good += 1
            except RecursionError:
                bad += 1
    return good, bad


@pytest.mark.may_leave("descriptors", reason="the standard library's, when its own code is struck")
def test_submit_and_result_at_every_depth(record: Record) -> None:
    futures: dict[int, Any] = {}

    def submit(room: int) -> None:
        x = len(tried)
        tried.append(x)
        futures[x] = executor.submit(record, x)

    tried: list[int] = []
    with Executor(2) as executor:
        good, bad = try_all_rooms(submit)
        assert good > 20
        assert bad > 5
        good, bad = try_all_rooms(lambda room: executor.submit(record, -1 - room).result())
        assert good > 20
        assert bad > 5
        for x, future in futures.items():
            error = future.exception(10)
            assert isinstance(error, RecursionError) if error else future.result() == x * x
        assert list(executor.map(tasks.square, range(100))) == [x * x for x in range(100)]
    counts = record.counts()
    assert all(counts[x] == 1 for x, future in futures.items() if not future.exception())
    assert max(counts[x] for x in tried) == 1


def test_result_at_every_depth_loses_no_result() -> None:
    with Executor(2) as executor:
        futures = [executor.submit(tasks.square, x) for x in range(DEEPEST * 3)]
        waiting = iter(range(DEEPEST * 3))

        def wait(room: int) -> None:
            x = next(waiting)
            assert futures[x].result() == x * x

        try_all_rooms(wait)
        assert [future.result(10) for future in futures] == [x * x for x in range(DEEPEST * 3)]
        late = []
        for room in range(DEEPEST):
            late.append(executor.submit(tasks.nap, 0.001))
            try:
                with_room(room, late[-1].result)
            except RecursionError:
                pass
        assert [future.result(10) for future in late] == [0.001] * DEEPEST


# `socket.socketpair` itself loses a descriptor when the limit strikes it between its two halves.
@pytest.mark.may_leave("descriptors", reason="the standard library's, when its own code is struck")
def test_a_first_call_at_every_depth() -> None:
    for room in range(0, DEEPEST, 3):
        with Executor(1) as executor:
            try:
                with_room(room, lambda executor=executor: executor.submit(tasks.square, 3).result())
            except RecursionError:
                pass
            assert executor.submit(tasks.square, 4).result(10) == 16


def test_map_at_every_depth(record: Record) -> None:
    with Pool(2) as pool:
        good, bad = try_all_rooms(lambda room: pool.map(tasks.square, [1, 2, 3]), repeat=2)
        assert good > 20
        assert bad > 5
        assert pool.map(record, range(500)) == [x * x for x in range(500)]
        assert len(pool._pool) == 2
    assert record.counts() == dict.fromkeys(range(500), 1)


@pytest.mark.parametrize("kind", ["imap", "stream"])
def test_next_at_every_depth_loses_no_result(kind: str, record: Record) -> None:
    total = DEEPEST * 6
    with Pool(2) as pool, Executor(2) as executor:
        results = iter(
            pool.imap(record, iter(range(total))) if kind == "imap" else executor.stream(record, range(total))
        )
        seen: list[int] = []
        try_all_rooms(lambda room: seen.append(next(results)))
        seen.extend(results)
        assert seen == [x * x for x in range(total)]
    assert record.counts() == dict.fromkeys(range(total), 1)
