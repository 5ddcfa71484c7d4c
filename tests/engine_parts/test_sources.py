"""Where a job's items come from."""

from __future__ import annotations

import pickle
import sys
import threading
from typing import Any

from phalanx._engine.jobs import CallJob, SequenceSource, WindowSource
from phalanx._engine.packing import PicklePacker
from phalanx._policy import Batch, JobSpec
from phalanx._wire.frames import CALL, EACH, SKIPPED, WHOLE, BatchMessage


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


class CountingPacker(PicklePacker):
    """Counts what it pickles."""

    count = 0

    def calls(self, calls: list[list[Any]]) -> bytes:
        self.count += 1
        return super().calls(calls)

    def packed(self, args: list[Any]) -> bytes:
        self.count += 1
        return super().packed(args)


def _message(*calls: tuple[int, Any] | None) -> tuple[CountingPacker, BatchMessage, set[int]]:
    job, packer = CallJob(JobSpec(1, 0, False)), CountingPacker(lambda error, text: None)
    job.inbox.extend((Receiver(), *(call or (3, []))) for call in calls)
    total = job.admit()
    for index, call in enumerate(calls):
        if call is None:
            job.calls.pop(index)
    return packer, *job.message(packer, Batch(5, 1, 0, total, 0))


def test_arguments_of_calls_of_one_function_are_pickled_together() -> None:
    packer, message, functions = _message(*[(3, [number]) for number in range(100)])
    assert (message.form, message.style, message.function, message.count) == (WHOLE, CALL, 3, 100)
    assert pickle.loads(message.body) == [[number] for number in range(100)]
    assert (packer.count, functions) == (1, {3})


def test_calls_that_have_something_to_themselves_go_as_pieces() -> None:
    alone = pickle.dumps(((1,), {}), 5)
    packer, message, functions = _message((3, [1]), (4, [1]), None, (3, b"packed"), (0, b"its own"))
    pieces = [(3, alone), (4, alone), (SKIPPED, b""), (3, b"packed"), (0, b"its own")]
    assert (message.form, message.function, message.body) == (EACH, 0, pieces)
    assert (packer.count, functions) == (2, {3, 4})
    for calls in ([(3, [1]), None], [None, (3, [1])], [(3, [1]), (3, b"packed")], [(3, [1])]):
        assert _message(*calls)[1].form == EACH


def test_what_is_told_of_a_call_whose_arguments_wait() -> None:
    job = CallJob(JobSpec(1, 0, False))
    job.inbox.append((Receiver(), 3, [1, "a"]))
    job.admit()
    assert job.describe(0) == ("1, 'a'", len(pickle.dumps([1, "a"], 5)))


def test_a_call_whose_admission_was_interrupted_keeps_its_index() -> None:
    job = CallJob(JobSpec(1, 0, False))
    receiver = Receiver()
    job.inbox.append((receiver, 3, b"one"))
    # Struck after the call was entered, before it was counted.
    receiver._index = 0
    job.calls[0] = job.inbox[0]
    assert job.admit() == 1
    assert (receiver._index, list(job.calls)) == (0, [0])
