"""The guard is there as long as this process, is replaced when it was killed, and is nobody else's."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from phalanx._launch.guarding import Guard
from tests.platform.strays import Session

PATIENCE = 20


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard()
    yield made
    made._bury()


@pytest.fixture
def two() -> Iterator[tuple[Session, Session]]:
    made = Session(), Session()
    yield made
    for each in made:
        each.end()


def let_go(guard: Guard) -> None:
    """As when this process is gone: its end of the pipe is."""
    assert guard.end is not None
    assert guard.pid is not None
    guard.end.close()
    assert os.waitpid(guard.pid, 0)[1] == 0


def test_nobody_is_started_before_there_is_a_worker(guard: Guard) -> None:
    guard.forget(4711)
    assert guard.pid is None


def test_it_kills_what_it_was_told_of_and_not_what_has_ended(
    guard: Guard, two: tuple[Session, Session]
) -> None:
    mine, other = two
    guard.watch(mine.leader.pid)
    pid = guard.pid
    assert pid is not None
    guard.watch(other.leader.pid)
    guard.forget(other.leader.pid)
    assert guard.pid == pid
    let_go(guard)
    assert not psutil.pid_exists(pid)
    assert mine.leader.wait(PATIENCE) == -signal.SIGKILL
    assert not mine.is_stray_alive(PATIENCE)
    assert other.leader.poll() is None
    assert other.is_stray_alive()


def test_one_that_was_killed_is_replaced_with_all_that_it_knew(
    guard: Guard, two: tuple[Session, Session]
) -> None:
    guard.watch(two[0].leader.pid)
    first = guard.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    guard.watch(two[1].leader.pid)
    assert guard.pid not in (None, first)
    let_go(guard)
    for each in two:
        assert each.leader.wait(PATIENCE) == -signal.SIGKILL
        assert not each.is_stray_alive(PATIENCE)


def test_one_that_is_stopped_is_replaced_and_kills_nobody(guard: Guard, two: tuple[Session, Session]) -> None:
    mine, _ = two
    guard.watch(mine.leader.pid)
    first = guard.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    for _ in range(1 << 17):  # until the pipe is full
        guard.watch(mine.leader.pid)
        if guard.pid != first:
            break
    assert guard.pid not in (None, first)
    assert not psutil.pid_exists(first)
    assert mine.leader.poll() is None
    assert mine.is_stray_alive()


def test_a_forked_child_has_a_guard_of_its_own(guard: Guard, two: tuple[Session, Session]) -> None:
    mine, _ = two
    guard.watch(mine.leader.pid)
    child = os.fork()
    if not child:
        code = 1
        try:
            guard.forget(mine.leader.pid)  # not its own to tell
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    let_go(guard)
    assert not mine.is_stray_alive(PATIENCE)


def test_a_frozen_program_goes_without(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    guard.watch(4711)
    assert guard.pid is None
    assert guard.end is None
