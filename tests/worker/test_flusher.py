"""The flusher looks after a long batch, and sleeps when there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from phalanx._worker.flusher import Flusher

PATIENCE = 10.0


class Looks:
    """Counts looks, and lets a test wait for them. `since` is when the main thread last got on."""

    def __init__(self) -> None:
        self.since = 0
        self.asked = 0
        self.times = 0
        self._changed = threading.Condition()
        self.flusher = Flusher(self, self.ask)

    def ask(self) -> int:
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
        return self.since

    def __call__(self) -> None:
        with self._changed:
            self.times += 1
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)


@pytest.fixture
def looks() -> Looks:
    return Looks()


pytestmark = pytest.mark.may_leave("threads", reason="the flusher is a daemon as long as its worker lives")


def test_a_long_item_is_looked_after_once(looks: Looks) -> None:
    looks.since = 1
    looks.flusher.watch(1)
    looks.wait_for(lambda: looks.asked >= 3)
    assert looks.times == 1
    looks.since = 2  # it got on, to the next long one
    looks.wait_for(lambda: looks.times == 2)
    looks.flusher.batch = 0


def test_a_thread_that_gets_on_is_left_alone(looks: Looks) -> None:
    looks.since = 1 << 62  # always a moment ago
    looks.flusher.watch(1)
    looks.wait_for(lambda: looks.asked >= 3)
    assert looks.times == 0
    looks.flusher.batch = 0


def test_ticks_become_rarer(looks: Looks) -> None:
    slept: list[float] = []

    class Never:
        def acquire(self, timeout: float) -> None:
            slept.append(timeout)
            if len(slept) == 6:
                looks.flusher.batch = 0

    looks.flusher._never = Never()  # type: ignore[assignment]
    looks.flusher.batch = 1
    looks.flusher._tick_while_busy()
    assert slept == [0.0025, 0.005, 0.01, 0.02, 0.02, 0.02]


def test_without_a_batch_it_sleeps(looks: Looks) -> None:
    looks.since = 1
    looks.flusher.watch(1)
    looks.wait_for(lambda: looks.times >= 1)
    looks.flusher.batch = 0
    assert wait_until(lambda: not looks.flusher._armed)
    seen = looks.asked
    # Asleep in the kernel on its bell, which nobody rings.
    assert not looks.flusher._bell.acquire(timeout=0.05)
    assert looks.asked == seen


def test_it_wakes_for_the_next_batch(looks: Looks) -> None:
    for number in (1, 2, 3):
        looks.since = number
        looks.flusher.watch(number)
        looks.wait_for(lambda number=number: looks.times == number)
        looks.flusher.batch = 0
        assert wait_until(lambda: not looks.flusher._armed)


def test_no_thread_before_it_is_needed() -> None:
    before = threading.active_count()
    Flusher(lambda: None, lambda: 0)
    assert threading.active_count() == before


def wait_until(condition: object) -> bool:
    never = threading.Event()
    for _ in range(2000):
        if condition():  # type: ignore[operator]
            return True
        never.wait(0.005)
    return False
