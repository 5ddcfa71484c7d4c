"""Descriptors at the worker's end: each comes with its frame, however that is cut, and goes before what needs it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from phalanx._transport import SocketChannel
from phalanx._wire.frames import BATCH, BLOCK, RESULTS, pack_frame
from phalanx._worker.loop import Inlet
from phalanx._worker.outlet import Outlet
from tests.transport.passengers import (
    block,
    descriptors_in_use,
    mark_of,
    marked_files,
    no_descriptors_left,
    send_cut,
)

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The worker's and the parent's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def files() -> Iterator[dict[int, int]]:
    with marked_files(range(20)) as files:
        yield files


def taken(inlet: Inlet, count: int) -> list[Any]:
    """So many frames: blocks as (number, what the file says or -1), or bytes."""
    found: list[Any] = []
    for _ in range(count):
        frame = inlet.take()
        assert frame is not None
        kind, body = frame
        if kind == BLOCK:
            number, _, descriptor = body
            found.append((number, mark_of(descriptor) if descriptor >= 0 else -1))
        else:
            found.append(bytes(body))
    return found


# -- taking


@pytest.mark.parametrize("step", [1, 3, 8, 9, 24, 1 << 20])
def test_any_cut_gives_each_block_its_own(ends: Ends, files: dict[int, int], step: int) -> None:
    worker, parent = ends
    stream = [block(1), block(2), pack_frame(BATCH, b"x" * 30), block(3), pack_frame(BATCH), block(4)]
    writer = threading.Thread(target=send_cut, args=(parent, stream, files, step))
    writer.start()
    assert taken(Inlet(worker), len(stream)) == [(1, 1), (2, 2), b"x" * 30, (3, 3), b"", (4, 4)]
    writer.join()


@pytest.mark.parametrize("size", [65_512, 65_528, 65_529, 1_000_000])
def test_large_frames_before_and_behind(ends: Ends, files: dict[int, int], size: int) -> None:
    worker, parent = ends
    large = pack_frame(BATCH, bytes(size))
    stream = [block(1), large, block(2), block(3), large, large, block(4)]
    writer = threading.Thread(target=send_cut, args=(parent, stream, files, 1 << 20))
    writer.start()
    whole = bytes(size)
    assert taken(Inlet(worker), len(stream)) == [(1, 1), whole, (2, 2), (3, 3), whole, whole, (4, 4)]
    writer.join()


def test_a_worker_without_room_is_told_so_and_the_next_block_gets_its_own(
    ends: Ends, files: dict[int, int]
) -> None:
    worker, parent = ends
    inlet = Inlet(worker)
    send_cut(parent, [block(1), block(2)], files, 100)
    with no_descriptors_left():
        assert taken(inlet, 2) == [(1, -1), (2, -1)]
    send_cut(parent, [block(3)], files, 100)
    assert taken(inlet, 1) == [(3, 3)]


def test_one_that_there_was_no_room_for_takes_nobody_elses_place(ends: Ends, files: dict[int, int]) -> None:
    """Although the rest of its frame comes together with the next block."""
    worker, parent = ends
    inlet = Inlet(worker)
    parent.send(pack_frame(BATCH, b"before"))
    socket.send_fds(parent, [block(1)[:5]], [files[1]])
    with no_descriptors_left():
        assert taken(inlet, 1) == [b"before"]
    parent.send(block(1)[5:])
    send_cut(parent, [block(2)], files, 100)
    assert taken(inlet, 2) == [(1, -1), (2, 2)]


def test_closing_closes_those_that_nobody_took(ends: Ends, files: dict[int, int]) -> None:
    worker, parent = ends
    before = descriptors_in_use()
    inlet = Inlet(worker)
    # One read brings a whole frame and the beginning of a block's; the next its rest, and no more than that.
    send_cut(parent, [pack_frame(BATCH, b"first")], files, 100)
    socket.send_fds(parent, [block(1)[:3]], [files[1]])
    assert taken(inlet, 1) == [b"first"]
    inlet.close()
    inlet.close()
    assert descriptors_in_use() == before


def test_the_end_in_the_middle_of_a_block_leaves_its_descriptor_to_be_closed(
    ends: Ends, files: dict[int, int]
) -> None:
    worker, parent = ends
    before = descriptors_in_use()
    inlet = Inlet(worker)
    send_cut(parent, [block(1)], files, 100)
    socket.send_fds(parent, [block(2)[:20]], [files[2]])
    parent.close()
    assert taken(inlet, 1) == [(1, 1)]
    assert inlet.take() is None
    inlet.close()
    assert descriptors_in_use() < before


def test_a_forked_child_keeps_none_of_them(ends: Ends, files: dict[int, int]) -> None:
    worker, parent = ends
    inlet = Inlet(worker)
    send_cut(parent, [pack_frame(BATCH, b"runs"), block(1)], files, 100)
    assert taken(inlet, 1) == [b"runs"]
    [(_, (_, _, descriptor))] = inlet._ready
    child = os.fork()
    if not child:
        try:
            os.fstat(descriptor)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert taken(inlet, 1) == [(1, 1)]


# -- announcing


def outlet_of(sock: socket.socket) -> Outlet:
    return Outlet(sock.sendall, partial(socket.send_fds, sock))


def heard(channel: SocketChannel) -> list[Any]:
    found: list[Any] = []
    while channel.fill():
        messages, token = channel.frames()
        channel.consume(token)
        for kind, body in messages:
            found.append((body[0], mark_of(body[2]) if body[2] >= 0 else -1) if kind == BLOCK else kind)
    return found


def test_a_block_is_announced_before_the_results_that_need_it(ends: Ends, files: dict[int, int]) -> None:
    worker, parent = ends
    outlet, channel = outlet_of(worker), SocketChannel(parent)
    outcomes = outlet.begin(1)
    assert outlet.announce(block(3), files[3])
    outcomes.append("needs it")
    outlet.flush()
    assert outlet.announce(block(4), files[4])
    outlet.end()
    assert heard(channel) == [(3, 3), RESULTS, (4, 4), RESULTS]


def test_a_descriptor_that_cannot_be_passed_stays_and_both_sides_know(
    ends: Ends, files: dict[int, int]
) -> None:
    worker, parent = ends
    outlet, channel = outlet_of(worker), SocketChannel(parent)
    closed = os.dup(0)
    os.close(closed)
    assert not outlet.announce(block(1), closed)
    assert outlet.announce(block(2), files[2])
    assert heard(channel) == [(1, -1), (2, 2)]


def test_announcing_to_nobody_is_an_error(ends: Ends, files: dict[int, int]) -> None:
    worker, parent = ends
    parent.close()
    with pytest.raises(BrokenPipeError):
        outlet_of(worker).announce(block(1), files[1])


def test_what_one_send_does_not_take_of_an_announcement_follows_at_once(files: dict[int, int]) -> None:
    sent: list[tuple[bytes, list[int]]] = []

    def send_a_part(parts: Any, descriptors: Any) -> int:
        sent.append((parts[0][:10], list(descriptors)))
        return 10

    outlet = Outlet(lambda data: sent.append((data, [])), send_a_part)
    assert outlet.announce(block(1), files[1])
    assert sent == [(block(1)[:10], [files[1]]), (block(1)[10:], [])]
    assert not outlet._lock.locked()


def test_announcements_of_two_threads_stay_whole(ends: Ends, files: dict[int, int]) -> None:
    worker, parent = ends
    outlet, channel = outlet_of(worker), SocketChannel(parent)
    rounds = 200

    def send_others() -> None:
        for _ in range(rounds):
            outlet.send(pack_frame(RESULTS, bytes(10_000)))

    thread = threading.Thread(target=send_others)
    found: list[Any] = []

    def announce() -> None:
        for turn in range(rounds):
            outlet.announce(block(turn % 20), files[turn % 20])

    threads = [thread, threading.Thread(target=announce)]
    for each in threads:
        each.start()
    while len(found) < 2 * rounds:
        found += heard(channel)
    for each in threads:
        each.join()
    assert found.count(RESULTS) == rounds
    assert [each for each in found if each != RESULTS] == [(turn % 20, turn % 20) for turn in range(rounds)]
