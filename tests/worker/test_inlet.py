"""The inlet hands out whole frames, however they come."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from phalanx._wire.frames import BATCH, STOP, pack_frame
from phalanx._worker.loop import Inlet

Ends = tuple[Inlet, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    yield Inlet(ours), theirs
    ours.close()
    theirs.close()


def test_several_frames_in_one_write(ends: Ends) -> None:
    inlet, parent = ends
    parent.sendall(pack_frame(BATCH, b"one") + pack_frame(BATCH, b"two") + pack_frame(STOP))
    assert [(kind, bytes(body)) for kind, body in (inlet.take() for _ in range(3))] == [
        (BATCH, b"one"),
        (BATCH, b"two"),
        (STOP, b""),
    ]


def test_the_end_is_none_for_ever(ends: Ends) -> None:
    inlet, parent = ends
    parent.sendall(pack_frame(BATCH, b"last") + pack_frame(BATCH, b"cut")[:-1])
    parent.close()
    assert bytes(inlet.take()[1]) == b"last"
    assert inlet.take() is None
    assert inlet.take() is None


@pytest.mark.parametrize("size", [65_520, 65_528, 65_529, 65_536, 65_537, 1_000_000])
def test_sizes_about_the_limits_of_a_read(ends: Ends, size: int) -> None:
    inlet, parent = ends
    stream = pack_frame(BATCH, b"before") + pack_frame(BATCH, bytes(size)) + pack_frame(BATCH, b"after")
    writer = threading.Thread(target=parent.sendall, args=(stream,))
    writer.start()
    assert [len(inlet.take()[1]) for _ in range(3)] == [6, size, 5]
    writer.join()


def test_byte_by_byte(ends: Ends) -> None:
    inlet, parent = ends
    stream = pack_frame(BATCH, b"slow") + pack_frame(STOP)

    def trickle() -> None:
        for at in range(len(stream)):
            parent.sendall(stream[at : at + 1])

    writer = threading.Thread(target=trickle)
    writer.start()
    assert bytes(inlet.take()[1]) == b"slow"
    assert inlet.take()[0] == STOP
    writer.join()


def test_the_end_in_the_middle_of_a_large_frame(ends: Ends) -> None:
    inlet, parent = ends
    writer = threading.Thread(
        target=lambda: (parent.sendall(pack_frame(BATCH, bytes(300_000))[:200_000]), parent.close())
    )
    writer.start()
    assert inlet.take() is None
    writer.join()
