"""Where a job's items come from."""

from __future__ import annotations

import sys
import threading
from typing import Any

from phalanx._engine.jobs import CallJob, SequenceSource, WindowSource
from phalanx._policy import JobSpec


def test_sequences_are_sliced_not_copied() -> None:
    numbers = range(10**12)
    source = SequenceSource(numbers)
    assert source.slice(10**11, 10**11 + 2) == range(10**11, 10**11 + 2)
    source.release(10**11)
    assert SequenceSource("abcdef").slice(1, 3) == "bc"


def test_a_window_gives_what_was_appended_and_not_released() -> None:
    source = WindowSource()
    source.append("a")
    source.extend(["b", "c", "d"])
    assert source.slice(0, 4) == ["a", "b", "c", "d"]
    source.release(2)
    assert source.slice(2, 4) == ["c", "d"]
    source.append("e")
    assert source.slice(3, 5) == ["d", "e"]
    source.release(2)
    source.release(5)
    assert source.slice(5, 5) == []


def test_a_window_keeps_nothing_that_was_released() -> None:
    import weakref

    class Item:
        pass

    source, item = WindowSource(), Item()
    gone = weakref.ref(item)
    source.append(item)
    del item
    source.release(1)
    assert gone() is None


def test_releasing_never_shifts_a_slice_taken_meanwhile() -> None:
    """The consumer releases while a driver packs: with two facts stored one after the other this went wrong."""
    source = WindowSource()
    source.extend(list(range(20_000)))
    wrong: list[Any] = []
    done = threading.Event()

    def release() -> None:
        for below in range(10_000):
            source.release(below)
        done.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=release)
        thread.start()
        while not done.is_set():
            found = source.slice(15_000, 15_003)
            if found != [15_000, 15_001, 15_002]:
                wrong.append(found)
        thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


class Receiver:
    _index = -1


def test_calls_get_their_index_when_they_are_admitted() -> None:
    job = CallJob(JobSpec(1, 0, False))
    first, second = Receiver(), Receiver()
    assert not job.has_grown()
    job.inbox.extend([(first, 3, b"one"), (second, 0, b"two")])
    assert job.has_grown()
    assert first._index == -1
    assert job.admit() == 2
    assert (first._index, second._index) == (0, 1)
    assert not job.inbox
    assert job.admit() == 2


def test_a_call_whose_admission_was_interrupted_keeps_its_index() -> None:
    job = CallJob(JobSpec(1, 0, False))
    receiver = Receiver()
    job.inbox.append((receiver, 3, b"one"))
    # Struck after the call was entered, before it was counted.
    receiver._index = 0
    job.calls[0] = job.inbox[0]
    assert job.admit() == 1
    assert (receiver._index, list(job.calls)) == (0, [0])
