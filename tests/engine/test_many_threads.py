"""Many threads at one engine, switched between as often as the interpreter can."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from phalanx import Executor, Pool
from tests.engine.tasks import Ledger, same, square

PATIENCE = 20


@pytest.fixture
def frantic() -> Iterator[None]:
    """Threads are switched as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count: int, work: Any) -> None:
    """Run `work(number)` in each of `count` threads; what one raises is raised here."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.usefixtures("frantic")
def test_eight_threads_share_one_executor(workers: dict[str, Any], ledger: Ledger) -> None:
    cancelled: list[int] = []
    done: list[int] = []

    def work(number: int) -> None:
        for turn in range(12):
            first = (number * 100 + turn) * 1000
            futures = {item: executor.submit(ledger.note, item) for item in range(first, first + 30)}
            dropped = {item for item in list(futures)[::3] if futures[item].cancel()}
            mapped = range(first + 500, first + 540)
            assert list(executor.map(square, mapped)) == [item * item for item in mapped]
            for item, future in futures.items():
                if item in dropped:
                    with pytest.raises(CancelledError):
                        future.result(PATIENCE)
                else:
                    assert future.result(PATIENCE) == item
            cancelled.extend(dropped)
            done.extend(futures.keys() - dropped)

    with Executor(2, **workers) as executor:
        in_threads(8, work)
    counts = ledger.counts()
    assert len(done) + len(cancelled) == 8 * 12 * 30
    assert set(counts) == set(done)
    assert set(counts.values()) == {1}


@pytest.mark.usefixtures("frantic")
def test_eight_threads_share_one_pool(parallel_workers: dict[str, Any]) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            items = range(number * 1000 + turn, number * 1000 + turn + 60)
            expected = [item * item for item in items]
            if turn % 3 == 0:
                assert list(pool.imap(square, iter(items))) == expected
            elif turn % 3 == 1:
                assert sorted(pool.imap_unordered(square, items)) == expected
            else:
                assert pool.map(square, items) == expected
                assert pool.map_async(square, items).get(PATIENCE) == expected

    with Pool(2, **parallel_workers) as pool:
        in_threads(8, work)
        pool.close()
        pool.join()


@pytest.mark.usefixtures("frantic")
def test_one_thread_waits_for_what_another_submits(workers: dict[str, Any]) -> None:
    """The seat of the driver changes hands all the time."""
    with Executor(2, **workers) as executor:
        barrier = threading.Barrier(4)
        shared: list[list[Any]] = [[] for _ in range(4)]

        def work(number: int) -> None:
            for turn in range(40):
                shared[number] = [executor.submit(same, (number, turn, n)) for n in range(3)]
                barrier.wait(PATIENCE)
                other = (number + 1) % 4
                assert [f.result(PATIENCE) for f in shared[other]] == [(other, turn, n) for n in range(3)]
                barrier.wait(PATIENCE)

        in_threads(4, work)


@pytest.mark.filterwarnings("ignore:workers are forked while other threads:RuntimeWarning")
def test_many_executors_at_once(parallel_workers: dict[str, Any]) -> None:
    def work(number: int) -> None:
        for _ in range(3):
            with Executor(2, **parallel_workers) as executor:
                assert list(executor.map(square, range(20))) == [n * n for n in range(20)]

    in_threads(4, work)


def test_a_job_is_taken_up_under_the_lock(workers: dict[str, Any]) -> None:
    """Else another thread, which rebuilds the state, might find it and finish it before it is told of."""
    with Pool(1, **workers) as pool:
        engine = pool._session.engine

        class Watched(dict[int, Any]):
            def __setitem__(self, number: int, job: Any) -> None:
                assert engine.is_mine()
                super().__setitem__(number, job)

        engine.jobs = Watched(engine.jobs)
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
        assert list(pool.imap(square, iter(range(5)))) == [0, 1, 4, 9, 16]
