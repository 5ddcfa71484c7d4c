"""The socket channel: nothing is lost, doubled or waited for, whatever the other side does."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from phalanx._transport import Outgoing, SocketChannel
from phalanx._transport import socket_channel as module
from phalanx._wire.frames import RESULTS, pack_frame, split_frames


@pytest.fixture
def ends() -> Iterator[tuple[SocketChannel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = SocketChannel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


Ends = tuple[SocketChannel, socket.socket]


def read_all(channel: SocketChannel) -> list[bytes]:
    """What the engine does for each wake-up."""
    found = []
    while channel.fill():
        messages, token = channel.frames()
        found += [bytes(body) for _, body in messages]
        channel.consume(token)
    return found


def drain(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += sock.recv(1 << 20)
    return bytes(data)


# -- writing


def test_entries_go_out_in_order(ends: Ends) -> None:
    channel, theirs = ends
    for text in (b"one", b"two", b"three"):
        channel.put(Outgoing(text))
    assert channel.flush()
    assert not channel.outbox
    assert theirs.recv(100) == b"onetwothree"


def test_a_full_socket_keeps_the_rest_and_never_waits(ends: Ends) -> None:
    channel, theirs = ends
    data = bytes(range(256)) * 8192
    channel.put(Outgoing(data))
    channel.put(Outgoing(b"end"))
    assert not channel.flush()
    assert len(channel.outbox) == 2
    received = bytearray()
    while not channel.flush():
        received += theirs.recv(1 << 20)
    received += drain(theirs, len(data) + 3 - len(received))
    assert received == data + b"end"


def test_flushing_an_empty_box_is_done(ends: Ends) -> None:
    channel, _ = ends
    assert channel.flush()
    channel.put(Outgoing(b""))
    assert channel.flush()
    assert not channel.outbox


def test_an_entry_written_before_an_exception_is_not_written_again(ends: Ends) -> None:
    channel, theirs = ends
    entry = Outgoing(b"whole")
    channel.put(entry)
    # Struck after the system call, before the entry left the box.
    entry.written.extend((5,))
    channel.put(Outgoing(b"next"))
    assert channel.flush()
    assert theirs.recv(100) == b"next"


def test_an_entry_written_in_part_goes_on_where_it_stopped(ends: Ends) -> None:
    channel, theirs = ends
    entry = Outgoing(b"0123456789")
    entry.written.extend((2, 3))
    channel.put(entry)
    assert channel.flush()
    assert theirs.recv(100) == b"56789"


def test_a_dead_peer_takes_everything(ends: Ends) -> None:
    channel, theirs = ends
    theirs.close()
    channel.put(Outgoing(bytes(1 << 20)))
    assert channel.flush()
    assert channel.flush()


# -- reading


def test_nothing_something_the_end(ends: Ends) -> None:
    channel, theirs = ends
    assert channel.fill() is None
    theirs.send(b"x")
    assert channel.fill() is True
    assert channel.fill() is None
    theirs.close()
    assert channel.fill() is False
    assert channel.fill() is False


def test_what_a_dead_peer_wrote_is_read_first(ends: Ends) -> None:
    channel, theirs = ends
    theirs.send(pack_frame(RESULTS, b"last words") + pack_frame(RESULTS, b"cut off")[:-1])
    theirs.close()
    assert read_all(channel) == [b"last words"]
    assert channel.fill() is False


def test_frames_are_told_again_until_they_are_consumed(ends: Ends) -> None:
    channel, theirs = ends
    theirs.send(pack_frame(RESULTS, b"a") + pack_frame(RESULTS, b"b") + b"\x05")
    channel.fill()
    first, _ = channel.frames()
    again, token = channel.frames()
    assert [bytes(body) for _, body in first] == [bytes(body) for _, body in again] == [b"a", b"b"]
    channel.consume(token)
    assert channel.frames()[0] == []
    theirs.send(pack_frame(RESULTS, b"hello")[1:])
    assert read_all(channel) == [b"hello"]


def test_consuming_twice_is_consuming_once(ends: Ends) -> None:
    channel, theirs = ends
    theirs.send(pack_frame(RESULTS, b"a") + pack_frame(RESULTS, b"b")[:5])
    channel.fill()
    _, token = channel.frames()
    channel.consume(token)
    channel.consume(token)
    theirs.send(pack_frame(RESULTS, b"b")[5:])
    assert read_all(channel) == [b"b"]


@pytest.mark.parametrize("step", [1, 3, 7, 8, 9, 64])
def test_any_cut_is_put_together(ends: Ends, step: int) -> None:
    channel, theirs = ends
    bodies = [b"", b"1", b"x" * 40, b"", b"y" * 7]
    stream = b"".join(pack_frame(RESULTS, body) for body in bodies)
    found = []
    for at in range(0, len(stream), step):
        theirs.send(stream[at : at + step])
        found += read_all(channel)
    assert found == bodies


def test_a_large_frame_costs_in_proportion_to_its_size(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: every byte is looked at and joined a bounded number of times."""
    channel, theirs = ends
    touched = 0

    def counting(data: bytes) -> object:
        nonlocal touched
        touched += len(data)
        return split_frames(data)

    monkeypatch.setattr(module, "split_frames", counting)
    size = 4_000_000
    stream = pack_frame(RESULTS, bytes(size)) + pack_frame(RESULTS, b"after")
    found, sent = [], 0
    while sent < len(stream):
        sent += theirs.send(stream[sent : sent + 50_000])
        found += read_all(channel)
    assert [len(body) for body in found] == [size, 5]
    assert touched < 3 * size


def test_many_small_frames_cost_in_proportion_too(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    channel, theirs = ends
    touched = 0

    def counting(data: bytes) -> object:
        nonlocal touched
        touched += len(data)
        return split_frames(data)

    monkeypatch.setattr(module, "split_frames", counting)
    stream = pack_frame(RESULTS, bytes(100)) * 2000
    found, sent = 0, 0
    while sent < len(stream):
        sent += theirs.send(stream[sent : sent + 1000])
        found += len(read_all(channel))
    assert found == 2000
    assert touched < 3 * len(stream)


# -- the end


def test_closing_is_idempotent_and_has_no_descriptor(ends: Ends) -> None:
    channel, theirs = ends
    assert channel.fileno() >= 0
    channel.close()
    channel.close()
    assert channel.fileno() == -1
    channel.put(Outgoing(b"to nobody"))
    assert channel.flush()
    assert channel.fill() is False
    assert theirs.recv(1) == b""
