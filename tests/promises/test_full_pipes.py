"""Both directions of the channels are full, and everything goes on."""

from __future__ import annotations

import pytest

from phalanx import Executor
from phalanx.pool import Pool
from tests.promises import tasks

SIZE = 1_000_000


def payload(number: int) -> bytes:
    return bytes([number]) * SIZE


def test_large_arguments_and_results_in_flight() -> None:
    with Executor(2) as executor:
        futures = [executor.submit(tasks.echo, payload(x)) for x in range(40)]
        assert all(future.result() == payload(x) for x, future in enumerate(futures))


def test_large_arguments_and_results_while_nobody_waits() -> None:
    with Executor(2) as executor:
        futures = [executor.submit(tasks.echo, payload(x)) for x in range(20)]
        assert tasks.wait_until(lambda: all(future.done() for future in futures), 20)
        assert all(future.result() == payload(x) for x, future in enumerate(futures))


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_large_items_of_a_map(chunksize: int | None) -> None:
    items = [payload(x) for x in range(40)]
    with Pool(2) as pool:
        assert pool.map(tasks.echo, items, chunksize) == items


def test_large_items_of_a_stream_that_is_read_slowly() -> None:
    with Executor(2) as executor:
        stream = executor.stream(tasks.echo, (payload(x) for x in range(40)))
        other = [executor.submit(tasks.echo, payload(x)) for x in range(20)]
        assert all(result == payload(x) for x, result in enumerate(stream))
        assert all(future.result() == payload(x) for x, future in enumerate(other))


def test_one_direction_at_a_time() -> None:
    with Executor(2) as executor:
        sizes = [executor.submit(tasks.measure, payload(x)) for x in range(30)]
        grown = [executor.submit(tasks.grow, SIZE) for _ in range(30)]
        assert all(future.result() == tasks.grow(SIZE) for future in grown)
        assert [future.result() for future in sizes] == [SIZE] * 30
