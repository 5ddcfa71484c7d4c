"""Locks are the standard ones, and never stay with the dead."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
import warnings
from itertools import count
from multiprocessing import synchronize
from typing import Any

import pytest

import phalanx
from phalanx.errors import AbandonedLock, WorkerLost
from tests.sync import tasks

PATIENCE = 30.0
KINDS = ["Lock", "RLock"]


def run(context: Any, target: Any, *args: Any) -> Any:
    process = context.Process(target=target, args=args)
    process.start()
    process.join(PATIENCE)
    return process


def take_over(lock: Any) -> AbandonedLock:
    """Get it, well within a second, and be told whose it was."""
    begun = time.monotonic()
    with pytest.warns(AbandonedLock) as caught:
        assert lock.acquire(timeout=PATIENCE)
    assert time.monotonic() - begun < 5  # a second, and what a busy machine takes
    assert lock.abandoned
    return caught[0].message  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_one_gets_it_and_is_told(kind: str, start_method: str) -> None:
    context = phalanx.get_context(start_method)
    lock = getattr(context, kind)()
    dead = run(context, tasks.take_and_die, lock)
    told = take_over(lock)
    assert (told.pid, told.name) == (dead.pid, dead.name[-16:])
    assert str(dead.pid) in str(told)
    lock.release()
    with lock:
        assert not lock.abandoned
    assert run(context, tasks.count_up, lock, context.Value("i", 0, lock=False), 10).exitcode == 0


@pytest.mark.parametrize("kind", ["Condition", "Event", "Barrier"])
def test_what_is_made_of_locks_too(kind: str) -> None:
    made = {"Condition": phalanx.Condition, "Event": phalanx.Event, "Barrier": lambda: phalanx.Barrier(1)}[
        kind
    ]()
    assert isinstance(made, getattr(synchronize, kind))
    condition = made if kind == "Condition" else made._cond
    run(phalanx.get_context("fork"), tasks.wait_and_die_of_it, condition)
    with pytest.warns(AbandonedLock):
        {
            "Condition": lambda: made.__enter__() and made.__exit__(None, None, None),
            "Event": lambda: made.set(),
            "Barrier": lambda: made.wait(PATIENCE),
        }[kind]()
    assert kind != "Event" or made.wait(PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_death_between_any_two_instructions(kind: str) -> None:
    context = phalanx.get_context("fork")
    lock = getattr(context, kind)()
    for number in count(1, 7):
        ended = run(context, tasks.die_at_line, lock, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AbandonedLock)
            assert lock.acquire(timeout=PATIENCE)
        assert not lock._semlock._get_value()
        lock.release()
        assert lock._semlock._get_value() == 1
        if ended.exitcode == 0:
            break
    assert number > 50


def test_a_lock_that_somebody_keeps_for_long_is_not_taken_from_him() -> None:
    context = phalanx.get_context("fork")
    lock = context.Lock()
    lock.acquire()
    waiting = [context.Process(target=lock.acquire, kwargs={"timeout": 1.5}) for _ in range(3)]
    for process in waiting:
        process.start()
    assert [process.result(PATIENCE) for process in waiting] == [False] * 3
    lock.release()
    assert lock._semlock._get_value() == 1


def test_nor_from_one_that_is_stopped_in_the_middle() -> None:
    """Wherever it is: it may have got it, and not have noted it yet."""
    context = phalanx.get_context("fork")
    lock, counter = context.Lock(), context.Value("q", 0, lock=False)
    process = context.Process(target=tasks.storm, args=(lock, counter))
    process.start()
    for _ in range(5):
        until = counter.value + 100
        while counter.value < until:
            os.sched_yield()
        os.kill(process.pid, signal.SIGSTOP)
        if lock.acquire(timeout=0.7):
            before = counter.value
            os.kill(process.pid, signal.SIGCONT)
            assert not lock._semlock._get_value()
            assert counter.value == before
            lock.release()
        else:
            os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AbandonedLock)
        assert lock.acquire(timeout=PATIENCE)
    lock.release()


@pytest.mark.parametrize("kills", [20, pytest.param(150, marks=pytest.mark.slow)])
def test_a_storm_of_kills_loses_no_lock(kills: int) -> None:
    context = phalanx.get_context("fork")
    lock, counter = context.Lock(), context.Value("q", 0, lock=False)
    chance = random.Random(kills)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AbandonedLock)
        for _ in range(kills):
            process = context.Process(target=tasks.storm, args=(lock, counter))
            before = counter.value
            process.start()
            while counter.value == before and process.is_alive():
                os.sched_yield()
            for _ in range(chance.randrange(200)):
                os.sched_yield()
            process.kill()
            process.join()
            assert lock.acquire(timeout=PATIENCE)
            lock.release()
    assert lock._semlock._get_value() == 1


def test_many_processes_count_right(start_method: str) -> None:
    context = phalanx.get_context(start_method)
    lock, counter = context.Lock(), context.Value("i", 0, lock=False)
    processes = [context.Process(target=tasks.count_up, args=(lock, counter, 300)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.result(PATIENCE)
    assert counter.value == 1200


def test_whoever_has_got_hold_of_its_methods_may_fork() -> None:
    """As conditions do, and functions that are given a bound method."""
    context = phalanx.get_context("fork")
    lock = context.Lock()
    acquire, release = lock.acquire, lock.release
    assert acquire()
    process = context.Process(target=lambda: (acquire(timeout=0.05), release()))
    process.start()
    assert process.result(PATIENCE)[0] is False
    assert acquire(timeout=PATIENCE)
    run(context, lambda: acquire(timeout=0.05))
    assert not acquire(False)
    release()


def test_many_threads_count_right() -> None:
    lock, counter = phalanx.Lock(), multiprocessing.Value("i", 0, lock=False)
    threads = [threading.Thread(target=tasks.count_up, args=(lock, counter, 300)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 2400


def test_more_threads_than_rows_are_served_without_being_missed() -> None:
    lock, counter = phalanx.Lock(), multiprocessing.Value("i", 0, lock=False)
    gate = threading.Barrier(140)

    def use() -> None:
        lock.acquire()
        lock.release()
        gate.wait()
        tasks.count_up(lock, counter, 3)

    threads = [threading.Thread(target=use) for _ in range(140)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 420
    with lock:
        assert not lock.acquire(False)


def test_workers_of_a_pool_share_it(start_method: str) -> None:
    context = phalanx.get_context(start_method)
    lock = context.Lock()
    with context.Pool(2, initializer=tasks.keep, initargs=(lock,)) as pool:
        assert pool.map(tasks.use_kept, range(100), 5) == list(range(100))
        with pytest.raises(WorkerLost):
            pool.apply(tasks.take_kept_and_die, (0,))
        take_over(lock)
        lock.release()
        assert pool.map(tasks.use_kept, range(100), 5) == list(range(100))


class TestAsTheStandardOne:
    def test_a_lock_may_be_released_by_somebody_else(self) -> None:
        context = phalanx.get_context("fork")
        lock = context.Lock()
        lock.acquire()
        assert run(context, lock.release).exitcode == 0
        assert lock.acquire(timeout=PATIENCE)
        thread = threading.Timer(0.05, lock.release)
        thread.start()
        assert lock.acquire(timeout=PATIENCE)
        thread.join()
        lock.release()

    def test_timeouts(self) -> None:
        lock = phalanx.Lock()
        assert lock.acquire()
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=0)
        assert not lock.acquire(True, -1)
        begun = time.monotonic()
        assert not lock.acquire(timeout=0.3)
        assert time.monotonic() - begun >= 0.3
        lock.release()

    def test_errors(self) -> None:
        with pytest.raises(ValueError, match="released too many times"):
            phalanx.Lock().release()
        with pytest.raises(AssertionError, match="not owned"):
            phalanx.RLock().release()
        with pytest.raises(RuntimeError, match="only be shared between processes through inheritance"):
            pickle.dumps(phalanx.Lock())

    def test_class_and_looks(self) -> None:
        lock, again = phalanx.Lock(), phalanx.RLock()
        assert isinstance(lock, synchronize.Lock)
        assert isinstance(again, synchronize.RLock)
        with lock, again, again:
            assert repr(lock) == "<Lock(owner=MainProcess)>"
            assert repr(again) == "<RLock(MainProcess, 2)>"

    def test_an_interrupt_leaves_it_in_order(self) -> None:
        lock = phalanx.Lock()
        lock.acquire()

        def interrupt(*_: Any) -> None:
            raise InterruptedError

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            with pytest.raises(InterruptedError):
                lock._slow.wait(lock._slow.local.row, None)
        finally:
            signal.signal(signal.SIGALRM, before)
        lock.release()
        assert lock.acquire(False)
        lock.release()
