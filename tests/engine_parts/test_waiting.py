"""Waiting for a thing: nobody sleeps through its end, and ringing twice does no harm."""

from __future__ import annotations

import sys
import threading
from time import monotonic

from phalanx._engine.waiting import Waitable, wake

PATIENCE = 10.0


class Thing(Waitable):
    is_done = False  # type: ignore[assignment]

    def finish(self) -> None:
        self.is_done = True  # type: ignore[assignment,misc]
        self.wake_sleepers()


def test_a_thing_that_is_done_does_not_block() -> None:
    thing = Thing()
    thing.finish()
    thing.block(None)


def test_the_end_wakes_everybody() -> None:
    thing, awake = Thing(), []

    def sleep() -> None:
        while not thing.is_done:
            thing.block(monotonic() + PATIENCE)
        awake.append(1)

    threads = [threading.Thread(target=sleep) for _ in range(5)]
    for thread in threads:
        thread.start()
    thing.finish()
    for thread in threads:
        thread.join()
    assert len(awake) == 5


def test_a_moment_that_has_passed_does_not_block() -> None:
    Thing().block(monotonic() - 1)


def test_another_reason_not_to_sleep_is_looked_at_after_the_bell_is_up() -> None:
    thing, order = Thing(), []

    def or_when() -> bool:
        order.append(("asked", len(thing._sleepers or ())))
        return True

    thing.block(None, or_when=or_when, just_before=lambda: order.append(("before", 0)))
    assert order == [("asked", 1)]


def test_the_last_word_before_sleeping() -> None:
    thing = Thing()
    thing.block(None, just_before=thing.finish)
    assert thing.is_done


def test_a_bell_of_ones_own_can_be_rung_by_others() -> None:
    thing, bell = Thing(), threading.Lock()
    bell.acquire()
    thing.block(None, bell, just_before=lambda: wake(bell))
    assert not thing.is_done


def test_ringing_twice_is_ringing_once() -> None:
    bell = threading.Lock()
    wake(bell)
    bell.acquire()
    wake(bell)
    wake(bell)
    assert bell.acquire(timeout=0)
    assert not bell.acquire(timeout=0)


def test_no_wake_up_is_lost_however_threads_alternate() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            thing = Thing()
            thread = threading.Thread(target=thing.finish)
            thread.start()
            began = monotonic()
            while not thing.is_done:
                thing.block(monotonic() + PATIENCE)
            assert monotonic() - began < PATIENCE
            thread.join()
    finally:
        sys.setswitchinterval(before)
