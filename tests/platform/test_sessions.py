"""A session is found and killed, whatever groups its members have gone to; other sessions are left alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from phalanx._platform import sessions
from tests.platform.strays import Session

PATIENCE = 20


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.end()


def test_all_members_are_killed_and_nobody_else(session: Session) -> None:
    other = Session()
    assert os.getpgid(session.stray) != session.leader.pid
    sessions.kill_sessions({session.leader.pid})
    assert session.leader.wait(PATIENCE) == -signal.SIGKILL
    assert not session.is_stray_alive(PATIENCE)
    assert other.is_stray_alive()
    assert other.leader.poll() is None
    other.end()


def test_what_a_dead_leader_has_left_is_killed(session: Session) -> None:
    session.leader.kill()
    os.waitid(os.P_PID, session.leader.pid, os.WEXITED | os.WNOWAIT)
    sessions.kill_session_of_dead(session.leader.pid)
    assert not session.is_stray_alive(PATIENCE)
    sessions.kill_session_of_dead(session.leader.pid)


def test_what_a_reaped_leader_has_left_is_killed(session: Session) -> None:
    session.leader.kill()
    session.leader.wait()
    sessions.kill_session_of_dead(session.leader.pid)
    assert not session.is_stray_alive(PATIENCE)


def test_the_session_of_somebody_who_lives_is_not_that_of_a_dead_worker(session: Session) -> None:
    sessions.kill_session_of_dead(session.leader.pid)
    assert session.is_stray_alive()
    assert session.leader.poll() is None


def test_where_processes_cannot_be_listed_nobody_is_killed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_PROCESSES", "/nowhere")
    sessions.kill_sessions({session.leader.pid})
    assert session.is_stray_alive()


def test_without_pidfd_it_is_done_by_number(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_HAVE_PIDFD", False)
    sessions.kill_sessions({session.leader.pid})
    assert not session.is_stray_alive(PATIENCE)
