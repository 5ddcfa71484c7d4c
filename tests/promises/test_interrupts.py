"""Ctrl-C while a pool works, at several moments."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from phalanx import Executor
from phalanx.pool import Pool
from tests.api import tasks
from tests.promises.tasks import Record, wait_until

MOMENTS = [0.0, 0.0005, 0.002, 0.01, 0.05, 0.2]


@contextmanager
def interrupted(delay: float) -> Iterator[None]:
    """SIGINT for this thread so long after the block begins; the block must raise `KeyboardInterrupt`."""
    here = threading.get_ident()
    begun = threading.Event()

    def strike() -> None:
        begun.wait()
        time.sleep(delay)
        signal.pthread_kill(here, signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            begun.set()
            yield
    finally:
        thread.join()


@pytest.mark.parametrize("delay", MOMENTS)
def test_an_interrupted_map_leaves_the_pool_usable(delay: float) -> None:
    with Pool(2) as pool:
        with interrupted(delay):
            pool.map(tasks.nap, [60] * 8, 1)
        assert pool.map(tasks.square, range(50)) == [x * x for x in range(50)]
        assert wait_until(lambda: len(pool._pool) == 2)


def test_one_pool_is_interrupted_again_and_again(record: Record) -> None:
    with Pool(2) as pool:
        for number, delay in enumerate(MOMENTS[:-1] * 2):
            first = number * 10_000_000
            with interrupted(delay):
                pool.map(record, range(first, first + 5_000_000))
            again = range(first - 10, first)
            assert pool.map(record, again) == [x * x for x in again]
    assert set(record.counts().values()) == {1}


def test_another_call_survives_the_interrupt(record: Record) -> None:
    with Pool(2) as pool:
        other = pool.map_async(record, range(2_000))
        stream = pool.imap(tasks.square, iter(range(2_000)))
        with interrupted(0.01):
            while True:
                pool.map(tasks.square, range(1_000))
        assert other.get() == [x * x for x in range(2_000)]
        assert list(stream) == [x * x for x in range(2_000)]
    assert record.counts() == dict.fromkeys(range(2000), 1)


@pytest.mark.parametrize("delay", MOMENTS[:-1])
def test_an_interrupted_wait_loses_nothing(delay: float) -> None:
    with Pool(2) as pool, Executor(1) as executor:
        result = pool.apply_async(tasks.nap, (delay + 0.1,))
        future = executor.submit(tasks.nap, delay + 0.1)
        with interrupted(delay):
            result.get()
            pytest.fail("too late")
        with interrupted(0):
            future.result()
            pytest.fail("too late")
        assert result.get() == future.result() == delay + 0.1
