"""The channel within one process keeps the promises of the one between two."""

from __future__ import annotations

import threading

from phalanx._transport import MemoryChannel, MemoryEnd, Outgoing
from phalanx._wire import frames


class Bell:
    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


def pair() -> tuple[MemoryChannel, MemoryEnd, Bell]:
    bell = Bell()
    end = MemoryEnd(bell)
    return MemoryChannel(end), end, bell


def test_objects_arrive_as_themselves_in_order() -> None:
    channel, end, _ = pair()
    things = [[object()], [object()]]
    for thing in things:
        channel.put(Outgoing(thing))
    assert end.take_nowait() is None
    assert channel.flush()
    assert not channel.outbox
    assert [end.take(), end.take_nowait()] == things
    assert end.take_nowait() is None


def test_an_entry_that_was_written_is_not_written_again() -> None:
    channel, end, _ = pair()
    entry = Outgoing(["once"])
    channel.put(entry)
    channel.flush()
    # Struck before it left the box.
    channel.put(entry)
    channel.flush()
    assert end.take_nowait() == ["once"]
    assert end.take_nowait() is None


def test_results_ring_and_stay_until_they_are_consumed() -> None:
    channel, end, bell = pair()
    end.send("a")
    end.send("b")
    assert bell.rung == 2
    messages, token = channel.frames()
    assert messages == channel.frames()[0] == ["a", "b"]
    end.send("c")
    channel.consume(token)
    assert channel.frames()[0] == ["c"]


def test_there_is_no_descriptor_and_no_end() -> None:
    channel, _, _ = pair()
    assert channel.fileno() == -1
    assert channel.fill() is None
    channel.put(Outgoing(["left"]))
    channel.close()
    channel.close()
    assert not channel.outbox


def test_taking_waits_for_what_comes() -> None:
    channel, end, _ = pair()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(end.take()))
    thread.start()
    channel.put(Outgoing(["late"]))
    channel.flush()
    thread.join()
    assert got == [["late"]]


def test_closing_ends_a_worker_that_waits() -> None:
    """As a socket's end does: after a start that was broken off, nobody else would ever tell it to stop."""
    channel, end, _ = pair()
    channel.put(Outgoing("never sent"))
    channel.close()
    assert end.take() == [(frames.STOP, None)]
    assert end.take_nowait() is None
