"""Whoever receives a large object owns it: nobody else's changes show, and it lives as long as it is kept."""

from __future__ import annotations

import gc
import os
import signal
import threading
from concurrent.futures import wait as wait_for
from typing import Any

import numpy as np
import pytest

from phalanx import Executor, Pool
from phalanx.errors import WorkerLost
from tests.data.tasks import (
    checked,
    echo,
    filled,
    fork_and_look,
    is_sound,
    keep,
    kept_numbers,
    made,
    mapped_blocks,
    number_of,
    open_blocks,
    scribble,
    sealed,
)
from tests.promises.deaths import die
from tests.promises.tasks import wait_until

# The same code on every interpreter: what may differ stands in test_contents.
pytestmark = pytest.mark.slow

LARGE = 600_000


def test_what_a_worker_writes_into_its_argument_stays_there(executor: Executor) -> None:
    mine = sealed(1, LARGE)
    for _ in range(5):
        before, after = executor.submit(scribble, mine).result()
        assert number_of(before) == 1
        assert (after == 255).all()
        assert number_of(mine) == 1
    for result in executor.map(scribble, [mine] * 6):
        assert number_of(result[0]) == 1


def test_what_the_caller_writes_into_its_argument_afterwards_is_not_sent(executor: Executor) -> None:
    mine = sealed(1, LARGE)
    futures = [executor.submit(checked, mine) for _ in range(10)]
    mine[:] = 0
    assert [number_of(future.result()) for future in futures] == [1] * 10


def test_results_are_the_callers_to_change(pool: Pool) -> None:
    results = pool.map(checked, [sealed(number, LARGE) for number in range(8)])
    for place, result in enumerate(results):
        assert number_of(result) == place
        result[:] = 0
    for place, result in enumerate(pool.map(checked, [sealed(number, LARGE) for number in range(8)])):
        assert number_of(result) == place
    assert not any(result.any() for result in results)


def test_results_outlive_their_pool(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        kept = pool.map(made, range(20)) + pool.map(checked, [sealed(n, LARGE) for n in range(20, 40)])
    assert [number_of(result) for result in kept] == list(range(40))
    for result in kept:
        result[0] += 1


def test_futures_are_asked_after_their_pool_has_ended(start_method: str) -> None:
    with Executor(2, start_method=start_method) as executor:
        futures = [executor.submit(checked, sealed(number, LARGE)) for number in range(10)]
    assert [number_of(future.result()) for future in futures] == list(range(10))


def test_results_outlive_their_worker(executor: Executor) -> None:
    kept = [executor.submit(checked, sealed(number, LARGE)).result() for number in range(8)]
    unread = [executor.submit(checked, sealed(number, LARGE)) for number in range(8)]
    for future in unread:
        assert future.exception() is None
    for _ in range(3):
        assert isinstance(executor.submit(die, "SIGKILL").exception(), WorkerLost)
    fresh = [executor.submit(checked, sealed(number, LARGE)).result() for number in range(8)]
    for results in (kept, fresh, [future.result() for future in unread]):
        assert [number_of(result) for result in results] == list(range(8))


def test_results_outlive_workers_that_are_replaced(start_method: str) -> None:
    with Executor(2, max_tasks_per_child=3, start_method=start_method) as executor:
        futures = [executor.submit(checked, sealed(number, LARGE)) for number in range(20)]
        assert [number_of(future.result()) for future in futures] == list(range(20))
    assert [number_of(future.result()) for future in futures] == list(range(20))


def test_keeping_hundreds_of_results_costs_a_bounded_number_of_descriptors(forked: Executor) -> None:
    before = open_blocks()
    kept = []
    for number in range(400):
        kept.append(forked.submit(checked, sealed(number, 300_000)).result())
    assert [number_of(result) for result in kept] == list(range(400))
    # Two for each that is mapped, some for what the workers lend and what is lent to them.
    assert open_blocks() - before < 300
    assert mapped_blocks() <= 64 + 2
    kept.clear()
    gc.collect()
    assert mapped_blocks() <= 2
    assert number_of(forked.submit(checked, sealed(1, 300_000)).result()) == 1


def test_keeping_hundreds_of_futures_that_nobody_asks_gives_each_its_result(forked: Executor) -> None:
    futures = [forked.submit(checked, sealed(number, 300_000)) for number in range(400)]
    assert forked.submit(number_of, sealed(5, 300_000)).result() == 5
    for number in (399, 0, 200, *range(400)):
        assert number_of(futures[number].result()) == number


def test_futures_that_are_dropped_unasked_give_their_blocks_back(forked: Executor) -> None:
    for _ in range(5):
        futures = [forked.submit(checked, sealed(number, 300_000)) for number in range(60)]
        assert number_of(futures[-1].result()) == 59
        futures.clear()
    gc.collect()
    assert wait_until(
        lambda: number_of(forked.submit(checked, sealed(2)).result()) == 2 and open_blocks() < 100
    )
    assert max(forked.submit(open_blocks).result() for _ in range(8)) < 100


def test_workers_may_keep_what_they_were_given(executor: Executor) -> None:
    for number in range(150):
        assert executor.submit(keep, sealed(number, 300_000)).result() == number
    seen = dict(executor.submit(kept_numbers, sealed(0)).result() for _ in range(20))
    everything = sorted(number for numbers in seen.values() for number in numbers)
    assert set(everything) <= set(range(150))
    for numbers in seen.values():
        assert numbers == sorted(set(numbers))


def test_what_a_worker_keeps_outlives_its_block_in_the_parent(forked: Executor) -> None:
    assert forked.submit(keep, sealed(77, LARGE)).result() == 77
    for size in range(300_000, 3_000_000, 100_000):  # many sizes, so that the first are given up
        for number in range(3):
            assert forked.submit(number_of, sealed(number, size)).result() == number
    seen = dict(forked.submit(kept_numbers, 0).result() for _ in range(20))
    assert [77] in seen.values()


def test_blocks_are_used_again(forked: Executor) -> None:
    """However many go one after the other: some for each direction and worker are enough."""
    most = 0
    for number in range(200):
        assert number_of(forked.submit(checked, sealed(number, LARGE)).result()) == number
        most = max(most, open_blocks())
    assert 1 <= most <= 16


def test_a_child_of_the_parent_sees_what_was_there_when_it_was_forked(forked: Executor) -> None:
    kept = [forked.submit(checked, sealed(number, LARGE)).result() for number in range(6)]
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(theirs)
            os.read(ours, 1)  # until the parent has done its worst
            right = [number_of(result) for result in kept] == list(range(6))
            for result in kept:
                result[:] = 0
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    os.close(ours)
    for result in kept:
        result[:] = 0
    kept.clear()
    del result
    for number in range(50):
        assert number_of(forked.submit(checked, sealed(number, LARGE)).result()) == number
    os.close(theirs)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_of_a_worker_changes_only_its_own(executor: Executor) -> None:
    for number in range(6):
        right, back = executor.submit(fork_and_look, sealed(number, LARGE)).result()
        assert right
        assert number_of(back) == number


def test_another_thread_may_let_go_of_results(forked: Executor) -> None:
    kept: list[Any] = []

    def drop() -> None:
        while kept.pop(0) is not None:
            pass

    done = threading.Thread(target=drop)
    kept.extend(forked.submit(checked, sealed(number, LARGE)).result() for number in range(3))
    kept.append(forked.submit(checked, sealed(3, LARGE)).result())
    kept.append(None)
    done.start()
    for number in range(30):
        assert number_of(forked.submit(checked, sealed(number, LARGE)).result()) == number
    done.join()


@pytest.mark.parametrize("step", [1, 7])
def test_a_part_of_a_result_keeps_the_whole_alive(step: int, forked: Executor) -> None:
    parts = [
        forked.submit(echo, np.full((300, 300), float(number))).result()[::step, 5] for number in range(20)
    ]
    views = [memoryview(part.base if part.base is not None else part) for part in parts]
    gc.collect()
    for number, part in enumerate(parts):
        assert (part == number).all()
    del views


def test_a_worker_that_is_killed_in_the_middle_harms_no_bytes(forked: Executor) -> None:
    for number in range(12):
        futures = [forked.submit(checked, sealed(each, 2_000_000)) for each in range(6)]
        wait_for(futures[number % 6 - 1 :][:1], timeout=0.01)
        for pid in [each.pid for each in forked.status() if each.pid][:1]:
            os.kill(pid, signal.SIGKILL)
        for each, future in enumerate(futures):
            error = future.exception()
            assert isinstance(error, WorkerLost) if error else number_of(future.result()) == each
        assert is_sound(forked.submit(checked, sealed(number, LARGE)).result(), number)


def test_what_a_worker_lends_does_not_count_as_its_memory() -> None:
    with Executor(1, start_method="fork", max_memory="150MB", memory_limit="250MB") as executor:
        futures = [executor.submit(filled, 30) for _ in range(20)]
        kept = [future.result() for future in futures]
        assert len({future.worker_pid for future in futures}) == 1
    assert all(float(result.sum()) == 1.5 * result.size for result in kept)


WAYS: dict[str, Any] = {
    "map": lambda pool, items: pool.map(checked, items),
    "map, one by one": lambda pool, items: pool.map(checked, items, chunksize=1),
    "map_async": lambda pool, items: pool.map_async(checked, items).get(),
    "imap": lambda pool, items: list(pool.imap(checked, items)),
    "imap_unordered": lambda pool, items: list(pool.imap_unordered(checked, items)),
    "apply_async": lambda pool, items: [
        each.get() for each in [pool.apply_async(checked, (item,)) for item in items]
    ],
    "blobs": lambda pool, items: pool.map(bytes, items),
    "many small": lambda pool, items: pool.map(bytes, [100_000] * 8, chunksize=4),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_let_go_of_is_given_back_without_the_garbage_collector(way: str) -> None:
    items = [sealed(number, 400_000) for number in range(8)]
    with Pool(2, start_method="fork") as pool:
        gc.collect()
        gc.disable()
        try:
            for _ in range(15):
                assert len(WAYS[way](pool, items)) == 8
            assert mapped_blocks() <= 8
            assert open_blocks() <= 3 * 16
        finally:
            gc.enable()
