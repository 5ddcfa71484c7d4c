"""A worker may be killed at any moment: that costs at most the item it ran."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phalanx import Executor
from phalanx.errors import WorkerLost
from phalanx.pool import Pool
from tests.api import tasks
from tests.api.tasks import Door
from tests.promises.tasks import Record, wait_until


def pids(pool: Pool) -> set[int]:
    return {process.pid for process in pool._pool if process.pid}


def is_full(pool: Pool, without: int) -> bool:
    """Whether the pool soon has two workers, none of them the dead one. Nobody looks while nothing is asked."""

    def look() -> bool:
        assert pool.map(tasks.square, range(4)) == [0, 1, 4, 9]
        return len(pids(pool)) == 2 and without not in pids(pool)

    return wait_until(look)


def leave_at_once(code: int) -> None:
    os._exit(code)


def take_by_turns(results: Any) -> Iterator[Any]:
    """Results and errors."""
    while True:
        try:
            yield next(results)
        except StopIteration:
            return
        except WorkerLost as error:
            yield error


def test_while_it_runs_an_item(start_method: str, door: Door) -> None:
    with Pool(2, start_method=start_method) as pool:
        victim = pool.map_async(tasks.pid, range(4), 1).get()[0]
        results = [pool.apply_async(door.pass_through, (x,)) for x in range(6)]
        assert wait_until(lambda: len(door.who_came()) == 2)
        running = {int(x) for x in door.who_came()}
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: any(result.ready() for result in results))
        door.open()
        errors = []
        for x, result in enumerate(results):
            try:
                assert result.get() == x
            except WorkerLost as error:
                errors.append((x, error))
        [(x, error)] = errors
        assert x in running
        assert (error.pid, error.reason, error.signal, error.exitcode) == (victim, "SIGKILL", 9, None)
        assert error.index is not None
        assert is_full(pool, victim)
        assert pool.map(tasks.square, range(50)) == [x * x for x in range(50)]


def test_which_item_it_was(door: Door) -> None:
    with Pool(2) as pool:
        results = pool.imap(tasks.die_on_three, range(10))
        outcomes = list(take_by_turns(results))
        error = outcomes.pop(3)
        assert outcomes == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert isinstance(error, WorkerLost)
        assert (error.index, error.signal, error.reason) == (3, 9, "SIGKILL")
        with pytest.raises(WorkerLost) as caught:
            pool.map(leave_at_once, [7])
        assert (caught.value.exitcode, caught.value.signal) == (7, None)
        assert "7" in str(caught.value.reason)
        with pytest.raises(WorkerLost) as caught:
            pool.apply(terminate_myself)
        assert (caught.value.signal, caught.value.reason) == (signal.SIGTERM, "SIGTERM")


def terminate_myself() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def test_while_it_is_idle() -> None:
    with Pool(2) as pool:
        pool.map(tasks.square, range(10))
        for _ in range(5):
            victim = random.choice(sorted(pids(pool)))
            os.kill(victim, signal.SIGKILL)
            assert pool.map(tasks.square, range(10)) == [x * x for x in range(10)]
            assert is_full(pool, victim)


def test_an_idle_pool_is_made_whole_by_the_next_call() -> None:
    with Pool(2) as pool:
        pool.map(tasks.square, range(10))
        for victim in pids(pool):
            os.kill(victim, signal.SIGKILL)
        results = [pool.apply_async(tasks.square, (x,)) for x in range(20)]
        outcomes = []
        for result in results:
            try:
                outcomes.append(result.get())
            except WorkerLost as error:
                outcomes.append(error)
        # What was sent to a worker that was dead already did not start.
        assert outcomes == [x * x for x in range(20)]
        assert wait_until(lambda: len(pids(pool)) == 2)


def test_while_it_starts(door: Door, tmp_path: Path) -> None:
    with Pool(2, initializer=stand_in_the_door, initargs=(door,)) as pool:
        results = [pool.apply_async(tasks.square, (x,)) for x in range(20)]
        assert wait_until(lambda: len(door.who_came()) == 2)
        victim = int(min(door.who_came()))
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: len(door.who_came()) == 3)
        door.open()
        assert [result.get() for result in results] == [x * x for x in range(20)]
        assert is_full(pool, victim)


def stand_in_the_door(door: Door) -> None:
    door.pass_through(os.getpid())


def test_at_random_moments(record: Record) -> None:
    chance = random.Random(3)
    killed: set[int] = set()
    over = threading.Event()

    def kill_now_and_then() -> None:
        while not over.wait(chance.uniform(0.005, 0.05)) and len(killed) < 25:
            # None that is only starting: several of those in a row say that workers cannot start.
            ready = {
                worker.pid for worker in pool.status() if worker.pid and worker.state in ("idle", "running")
            }
            for pid in ready - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                break

    with Pool(2) as pool:
        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        try:
            outcomes = list(take_by_turns(pool.imap(SlowRecord(record), iter(range(1_000)))))
        finally:
            over.set()
            killer.join()
        assert pool.map(tasks.square, range(20)) == [x * x for x in range(20)]
    lost = {x: outcome for x, outcome in enumerate(outcomes) if isinstance(outcome, WorkerLost)}
    assert len(outcomes) == 1_000
    assert all(outcome == x * x for x, outcome in enumerate(outcomes) if x not in lost)
    assert len(lost) <= len(killed)
    assert killed
    assert all(error.index == x and error.pid in killed and error.signal == 9 for x, error in lost.items())
    counts = record.counts()
    # What had run, and whose result died with its worker, ran again.
    assert all(counts[x] >= 1 for x in range(1_000) if x not in lost)
    assert all(counts[x] <= 1 + len(killed) for x in range(1_000))


class SlowRecord:
    def __init__(self, record: Record) -> None:
        self.record = record

    def __call__(self, x: int) -> int:
        tasks.nap(0.001)
        return self.record(x)


def test_an_executor_too(door: Door) -> None:
    with Executor(2) as executor:
        futures = [executor.submit(door.pass_through, x) for x in range(2)]
        for x in range(2):
            door.wait_until_somebody_is_there(x)
        victim = min(executor._processes)
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: any(future.done() for future in futures))
        door.open()
        outcomes = [future.exception() for future in futures]
        [error] = [outcome for outcome in outcomes if outcome]
        assert isinstance(error, WorkerLost)
        assert (error.pid, error.index) == (victim, outcomes.index(error))
        later = [executor.submit(tasks.nap, 0.02) for _ in range(10)]
        assert [future.result() for future in later] == [0.02] * 10
        assert len(executor._processes) == 2
