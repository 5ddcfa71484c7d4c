"""One descriptor stands for many."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from phalanx._platform import waiting
from phalanx._platform.waiting import Gathering


@pytest.fixture
def gathering() -> Iterator[Gathering]:
    found = Gathering()
    yield found
    found.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


Pair = tuple[socket.socket, socket.socket]


def is_readable(gathering: Gathering) -> bool:
    return bool(select.select([gathering.fileno()], [], [], 0)[0])


def test_ready_is_who_can_be_read(gathering: Gathering, pair: Pair) -> None:
    left, right = pair
    gathering.watch(left.fileno())
    assert not is_readable(gathering)
    assert gathering.ready() == set()
    right.send(b"x")
    assert is_readable(gathering)
    assert gathering.ready() == {left.fileno()}
    left.recv(1)
    assert not is_readable(gathering)


def test_writing_is_asked_for_and_given_up(gathering: Gathering, pair: Pair) -> None:
    left, _ = pair
    gathering.watch(left.fileno(), writable=True)
    assert gathering.ready() == {left.fileno()}
    gathering.watch(left.fileno())
    assert gathering.ready() == set()


def test_forgotten_ones_are_silent(gathering: Gathering, pair: Pair) -> None:
    left, right = pair
    gathering.watch(left.fileno())
    right.send(b"x")
    gathering.forget(left.fileno())
    gathering.forget(left.fileno())
    assert not is_readable(gathering)


@pytest.mark.parametrize("rings", [1, 100_000])
def test_the_bell_is_heard_once(gathering: Gathering, rings: int) -> None:
    for _ in range(rings):
        gathering.ring()
    assert is_readable(gathering)
    while is_readable(gathering):
        assert gathering.ready() == set()


def test_a_pipe_is_a_bell_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)
    gathering = waiting.Gathering()
    for _ in range(70_000):
        gathering.ring()
    while is_readable(gathering):
        assert gathering.ready() == set()
    gathering.close()


def test_close_twice_is_once(gathering: Gathering) -> None:
    gathering.close()
    gathering.close()
