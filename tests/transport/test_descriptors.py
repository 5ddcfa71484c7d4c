"""Descriptors travel with their frames: each arrives once, with its own, and none is left behind."""

from __future__ import annotations

import os
import resource
import socket
import threading
import weakref
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from phalanx._transport import Outgoing, SocketChannel
from phalanx._wire.frames import BLOCK, HEADER_SIZE, RESULTS, pack_frame, unpack_block
from tests.engine.strikes import Blow, Struck, strike
from tests.transport.passengers import (
    block,
    descriptors_in_use,
    mark_of,
    marked_files,
    no_descriptors_left,
    send_cut,
)

Ends = tuple[SocketChannel, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    channel = SocketChannel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


@pytest.fixture
def files() -> Iterator[dict[int, int]]:
    with marked_files(range(20)) as files:
        yield files


def read_all(channel: SocketChannel) -> list[Any]:
    """What the engine does for each wake-up: blocks as (number, what the file says or -1), or bytes."""
    found: list[Any] = []
    while channel.fill():
        messages, token = channel.frames()
        channel.consume(token)
        for kind, body in messages:
            if kind == BLOCK:
                number, _, descriptor = body
                found.append((number, mark_of(descriptor) if descriptor >= 0 else -1))
            else:
                found.append(bytes(body))
    return found


def receive(sock: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """So many bytes, and the marks of the files that came with them."""
    data, marks = b"", []
    while len(data) < size:
        # Not `recv_fds`, which forgets its flags.
        got, ancillary, flags, _ = sock.recvmsg(size - len(data), 1000, socket.MSG_CMSG_CLOEXEC)
        assert got
        assert not flags & socket.MSG_CTRUNC
        data += got
        marks += [mark_of(number) for _, _, numbers in ancillary for number in array("i", numbers)]
    return data, marks


# -- writing


def test_a_descriptor_goes_with_the_first_byte(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    channel.put(Outgoing(b"before"))
    channel.put(Outgoing(block(3), descriptor=files[3]))
    channel.put(Outgoing(b"after"))
    assert channel.flush()
    assert receive(theirs, 6) == (b"before", [])
    assert receive(theirs, 1) == (block(3)[:1], [3])
    assert receive(theirs, len(block(3)) - 1 + 5) == (block(3)[1:] + b"after", [])


def test_an_entry_that_takes_many_writes_brings_its_descriptor_once(
    ends: Ends, files: dict[int, int]
) -> None:
    channel, theirs = ends
    data = block(1) + bytes(2_000_000)
    for number in (1, 2):
        channel.put(Outgoing(data if number == 1 else block(2), descriptor=files[number]))
    received, marks = b"", []
    while not channel.flush():
        more, came = receive(theirs, 50_000)
        received, marks = received + more, marks + came
    more, came = receive(theirs, len(data) + len(block(2)) - len(received))
    assert received + more == data + block(2)
    assert marks + came == [1, 2]


def test_a_descriptor_sent_before_an_exception_is_not_sent_again(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    entry = Outgoing(block(1), descriptor=files[1])
    # Struck after the system call, before the entry left the box; one byte was written.
    entry.written.extend((1,))
    channel.put(entry)
    assert channel.flush()
    assert receive(theirs, len(block(1)) - 1) == (block(1)[1:], [])


def test_what_keeps_the_descriptor_open_is_kept_until_all_is_written(
    ends: Ends, files: dict[int, int]
) -> None:
    class Lease:
        pass

    channel, _ = ends
    lease = Lease()
    gone = weakref.ref(lease)
    channel.put(Outgoing(bytes(2_000_000)))
    channel.put(Outgoing(block(1), descriptor=files[1], holds=lease))
    del lease
    assert not channel.flush()
    assert gone() is not None
    while not channel.flush():
        receive(ends[1], 50_000)
    assert gone() is None


def test_a_descriptor_that_cannot_be_passed_stays_and_the_frame_says_so(
    ends: Ends, files: dict[int, int]
) -> None:
    """The system refuses one that is closed, as it refuses one too many on their way."""
    channel, theirs = ends
    closed = os.dup(0)
    os.close(closed)
    channel.put(Outgoing(block(1) + b"more", batch="batch", descriptor=closed))
    channel.put(Outgoing(block(2), descriptor=files[2]))
    assert channel.flush()
    data, marks = receive(theirs, 2 * len(block(1)) + 4)
    assert unpack_block(memoryview(data)[HEADER_SIZE:]) == (1, 0)
    assert data[len(block(1)) :] == b"more" + block(2)
    assert marks == [2]


def test_more_descriptors_on_their_way_than_the_system_allows_cost_nothing_but_these(
    files: dict[int, int],
) -> None:
    child = os.fork()
    if not child:
        try:
            if not os.geteuid():
                os.setuid(65534)  # the limit does not hold for root
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
            ours, theirs = map(SocketChannel, socket.socketpair())
            for _ in range(130):
                ours.put(Outgoing(block(1), descriptor=files[1]))
            sent = ours.flush()
            found = read_all(theirs)
            ours.put(Outgoing(block(2), descriptor=files[2]))
            sent = sent and ours.flush()
            passed = found.index((1, -1))
            as_expected = found == [(1, 1)] * passed + [(1, -1)] * (130 - passed)
            os._exit(0 if sent and passed >= 50 and as_expected and read_all(theirs) == [(2, 2)] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_dead_peer_takes_descriptors_too(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    theirs.close()
    channel.put(Outgoing(block(1), descriptor=files[1]))
    assert channel.flush()


# -- reading


@pytest.mark.parametrize(
    ("step", "read_each"),
    [*((step, True) for step in (1, 3, 8, 9, 23, 24)), *((step, False) for step in (5, 8, 9, 24, 1 << 20))],
)
def test_any_cut_gives_each_block_its_own(
    ends: Ends, files: dict[int, int], step: int, read_each: bool
) -> None:
    channel, theirs = ends
    stream = [block(1), block(2), pack_frame(RESULTS, b"x" * 30), block(3), pack_frame(RESULTS), block(4)]
    found: list[Any] = []

    def read() -> None:
        found.extend(read_all(channel))

    send_cut(theirs, stream, files, step, read if read_each else lambda: None)
    read()
    assert found == [(1, 1), (2, 2), b"x" * 30, (3, 3), b"", (4, 4)]


def test_large_frames_before_and_behind(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    large = pack_frame(RESULTS, bytes(700_000))
    stream = [block(1), large, block(2), block(3), large, large, block(4)]
    writer = threading.Thread(target=send_cut, args=(theirs, stream, files, 1 << 20))
    writer.start()
    found: list[Any] = []
    while len(found) < len(stream):
        found += read_all(channel)
    writer.join()
    assert [body if isinstance(body, tuple) else len(body) for body in found] == [
        (1, 1),
        700_000,
        (2, 2),
        (3, 3),
        700_000,
        700_000,
        (4, 4),
    ]


def test_both_sides_fill_their_pipes_with_blocks(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    large = pack_frame(RESULTS, bytes(100_000))
    stream = [each for mark in range(20) for each in (block(mark), large)]
    for mark in range(20):
        channel.put(Outgoing(block(mark), descriptor=files[mark]))
        channel.put(Outgoing(large))
    assert not channel.flush()
    theirs.setblocking(False)
    written = 0
    with pytest.raises(BlockingIOError):
        for mark in range(20):
            socket.send_fds(theirs, [block(mark)], [files[mark]])
            written += 1
            if theirs.send(large) < len(large):
                theirs.send(b"there is no room")
    assert 0 < written < 20
    theirs.settimeout(10)
    received, marks = b"", []
    expected = b"".join(stream)
    while len(received) < len(expected):
        channel.flush()
        more, came = receive(theirs, min(30_000, len(expected) - len(received)))
        received, marks = received + more, marks + came
    assert received == expected
    assert marks == list(range(20))
    found = [body for body in read_all(channel) if isinstance(body, tuple)]
    assert found == [(mark, mark) for mark in range(written)]


def test_a_descriptor_is_told_again_until_it_is_consumed(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    send_cut(theirs, [block(1)], files, 100)
    theirs.send(block(2)[:5])
    channel.fill()
    [(_, first)], _ = channel.frames()
    [(_, again)], token = channel.frames()
    assert first == again
    channel.consume(token)
    channel.consume(token)
    assert channel.frames()[0] == []
    assert mark_of(first[2]) == 1


def test_a_process_without_room_is_told_so_and_the_next_gets_its_own(
    ends: Ends, files: dict[int, int]
) -> None:
    channel, theirs = ends
    send_cut(theirs, [block(1), block(2)], files, 100)
    before = descriptors_in_use()
    with no_descriptors_left():
        assert channel.fill()
        assert channel.fill()
    send_cut(theirs, [block(3)], files, 100)
    assert read_all(channel) == [(1, -1), (2, -1), (3, 3)]
    assert descriptors_in_use() == before


@pytest.mark.parametrize("cut", [24, 5])
def test_one_that_there_was_no_room_for_takes_nobody_elses_place(
    ends: Ends, files: dict[int, int], cut: int
) -> None:
    """Although both frames are told at once, or the rest of the first one comes together with the second."""
    channel, theirs = ends
    theirs.send(pack_frame(RESULTS, b"before"))
    socket.send_fds(theirs, [block(1)[:cut]], [files[1]])
    with no_descriptors_left():
        assert channel.fill()
    if cut == 5:
        messages, token = channel.frames()
        assert [bytes(body) for _, body in messages] == [b"before"]
        channel.consume(token)
        theirs.send(block(1)[cut:])
    socket.send_fds(theirs, [block(2)], [files[2]])
    while channel.fill():
        pass
    messages, token = channel.frames()
    channel.consume(token)
    blocks = [body for kind, body in messages if kind == BLOCK]
    assert [(number, descriptor >= 0) for number, _, descriptor in blocks] == [(1, False), (2, True)]
    assert mark_of(blocks[1][2]) == 2


# -- the end


def test_closing_closes_those_that_nobody_took(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    before = descriptors_in_use()
    send_cut(theirs, [block(1), block(2), block(3)], files, 100)
    socket.send_fds(theirs, [block(4)[:20]], [files[4]])
    channel.fill()
    [(_, taken)], token = channel.frames()
    channel.consume(token)
    while channel.fill():
        pass
    assert len(channel.frames()[0]) == 2
    channel.close()
    channel.close()
    assert mark_of(taken[2]) == 1
    assert descriptors_in_use() < before


def test_one_whose_frame_was_cut_off_by_a_death_is_closed(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    before = descriptors_in_use()
    send_cut(theirs, [block(1)], files, 100)
    socket.send_fds(theirs, [block(2)[:3]], [files[2]])
    theirs.close()
    assert read_all(channel) == [(1, 1)]
    assert channel.fill() is False
    channel.close()
    assert descriptors_in_use() < before


def test_a_forked_child_keeps_none_of_them(ends: Ends, files: dict[int, int]) -> None:
    channel, theirs = ends
    send_cut(theirs, [block(1)], files, 100)
    channel.fill()
    [(_, (_, _, descriptor))], _ = channel.frames()
    child = os.fork()
    if not child:
        try:
            os.fstat(descriptor)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mark_of(os.dup(descriptor)) == 1


# -- struck at every place


class Places:
    """Numbers of places, until three in a row are behind the end of the operation."""

    def __init__(self) -> None:
        self.missed = 0
        self.struck = 0

    def __iter__(self) -> Iterator[int]:
        for place in range(1, 3000):
            yield place
            if self.missed == 3:
                return
        raise AssertionError("the operation never gets through")

    def note(self, blow: Blow) -> None:
        self.missed = 0 if blow.fell else self.missed + 1
        self.struck += blow.fell


@contextmanager
def two_pairs() -> Iterator[list[Ends]]:
    """Some interpreters see the places of a function only from the second time on that it is called."""
    made = [socket.socketpair() for _ in range(2)]
    pairs = [(SocketChannel(ours), theirs) for ours, theirs in made]
    for _, theirs in pairs:
        theirs.settimeout(10)
    yield pairs
    for channel, theirs in pairs:
        channel.close()
        theirs.close()


def test_struck_anywhere_each_is_sent_once(files: dict[int, int]) -> None:
    before = descriptors_in_use()
    expected = block(1) + b"between" + block(2)
    places = Places()
    for place in places:
        with two_pairs() as pairs:
            for channel, _ in pairs:
                channel.put(Outgoing(block(1), descriptor=files[1]))
                channel.put(Outgoing(b"between"))
                channel.put(Outgoing(block(2), descriptor=files[2]))
            with suppress(Struck), strike(place) as blow:
                for channel, _ in pairs:
                    channel.flush()
            for channel, theirs in pairs:
                channel.flush()
                assert receive(theirs, len(expected)) == (expected, [1, 2]), blow.place
                theirs.setblocking(False)
                with pytest.raises(BlockingIOError):
                    theirs.recv(1)
        places.note(blow)
    assert places.struck > 10
    assert descriptors_in_use() == before


def take_in(channel: SocketChannel, known: dict[int, int], told: list[bytes]) -> None:
    """A receiver that may be struck: it knows blocks by their number, and closes nothing."""
    while True:
        messages, token = channel.frames()
        for kind, body in messages:
            if kind == BLOCK:
                known.setdefault(body[0], body[2])
                assert known[body[0]] == body[2]
            else:
                told.append(bytes(body))
        channel.consume(token)
        if not channel.fill():
            return


def test_struck_anywhere_each_is_received(files: dict[int, int]) -> None:
    before = descriptors_in_use()
    stream = [block(1), pack_frame(RESULTS, b"x" * 10), block(2), block(3)]
    places = Places()
    for place in places:
        known: list[dict[int, int]] = [{}, {}]
        told: list[list[bytes]] = [[], []]
        with two_pairs() as pairs:
            for _, theirs in pairs:
                send_cut(theirs, stream, files, 10)
            with suppress(Struck), strike(place) as blow:
                for at, (channel, _) in enumerate(pairs):
                    take_in(channel, known[at], told[at])
            for at, (channel, _) in enumerate(pairs):
                take_in(channel, known[at], told[at])
        # Consumed, so closing has left them open.
        for at in range(2):
            marks = {number: mark_of(each) for number, each in known[at].items()}
            assert marks == {1: 1, 2: 2, 3: 3}, blow.place
            assert told[at] in ([b"x" * 10], [b"x" * 10] * 2)
        places.note(blow)
    assert places.struck > 10
    assert descriptors_in_use() == before


def test_struck_anywhere_closing_is_done_again(files: dict[int, int]) -> None:
    before = descriptors_in_use()
    places = Places()
    for place in places:
        with two_pairs() as pairs:
            for channel, theirs in pairs:
                send_cut(theirs, [block(1), block(2)], files, 100)
                while channel.fill():
                    pass
            with suppress(Struck), strike(place) as blow:
                for channel, _ in pairs:
                    channel.close()
            # A number that is free again may be somebody else's by now.
            others = [os.dup(files[3]) for _ in range(6)]
        assert [mark_of(number) for number in others] == [3] * 6, blow.place
        places.note(blow)
    assert places.struck > 5
    assert descriptors_in_use() == before
