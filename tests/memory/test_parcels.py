"""Parcels: what arrives is what ordinary pickling would have made, whichever way it went."""

from __future__ import annotations

import array
import gc
import os
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx._memory import Depot, Loan, pack
from phalanx._memory.parcels import LARGE, MAPPED_FROM, MOST_MAPPED, THRESHOLD
from tests.memory.crossing import Crossing

N = MAPPED_FROM // 8 * 2
"""So many floats are mapped, not copied out."""


@dataclass
class Measured:
    name: str
    values: np.ndarray
    parts: list[Any]


def read_only(made: np.ndarray) -> np.ndarray:
    made.flags.writeable = False
    return made


BASE = np.arange(6 * N, dtype="f8")
ARRAYS = {
    "C order": BASE.reshape(6, N),
    "Fortran order": np.asfortranarray(BASE.reshape(6, N)),
    "sliced": BASE[7 : 3 * N],
    "transposed": BASE.reshape(6, N).T,
    "strided": BASE[::3],
    "strided in two dimensions": BASE.reshape(6, N)[::2, 5:-5],
    "backwards": BASE[::-1],
    "zero-dimensional": np.array(1.5),
    "empty": np.empty((0, 7)),
    "structured": np.zeros(N, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "S5")]),
    "of objects": np.array([None, "x", 3, [1, 2]] * (N // 4), dtype=object),
    "read-only": read_only(np.arange(N)),
    "of text": np.array(["abc", "d"] * N),
    "of times": np.arange(N).astype("M8[ms]"),
    "big-endian": np.arange(N, dtype=">i8"),
    "small": np.arange(10),
    "copied out": np.arange(THRESHOLD // 8, dtype="i8"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_arrives_as_by_pickle(name: str, crossing: Crossing) -> None:
    source = ARRAYS[name]
    arrived, expected = crossing.send(source), pickle.loads(pickle.dumps(source, 5))
    assert type(arrived) is np.ndarray
    assert (arrived.dtype, arrived.shape) == (expected.dtype, expected.shape)
    assert arrived.strides == expected.strides
    assert arrived.flags.writeable == expected.flags.writeable
    if source.dtype.hasobject:
        assert arrived.tolist() == source.tolist()
    else:
        assert arrived.tobytes() == source.tobytes()


OBJECTS: dict[str, Any] = {
    "bytes": os.urandom(3 * LARGE),
    "bytearray": bytearray(os.urandom(3 * LARGE)),
    "array.array": array.array("d", BASE[: 2 * N]),
    "text": "äöü€" * LARGE,
    "a list": [b"x" * LARGE, "y", [bytearray(LARGE)]],
    "a dict": {"raw": b"x" * LARGE, (1, 2): {"more": array.array("i", range(N))}},
    "numbers": list(range(LARGE)),
    "bytes that are copied out": os.urandom(LARGE),
    "nothing": None,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_arrives_as_by_pickle(name: str, crossing: Crossing) -> None:
    source = OBJECTS[name]
    arrived = crossing.send(source)
    assert type(arrived) is type(source)
    assert arrived == source
    # What copies its bytes when it is rebuilt keeps no memory.
    del source
    assert len(crossing.settle()) == (name != "nothing")


def test_a_bytearray_can_grow_afterwards(crossing: Crossing) -> None:
    arrived = crossing.send(bytearray(2 * LARGE))
    arrived += b"more"
    assert len(arrived) == 2 * LARGE + 4


def test_arrays_in_an_object_arrive_in_one_block(crossing: Crossing) -> None:
    source = Measured("m", BASE[:N], [{"x": BASE[N : 3 * N]}, BASE[:5], b"z" * LARGE])
    loan = crossing.lend(source)
    arrived = crossing.open(loan).load()
    assert (arrived.name, arrived.parts[2]) == ("m", source.parts[2])
    assert np.array_equal(arrived.values, source.values)
    assert np.array_equal(arrived.parts[0]["x"], source.parts[0]["x"])
    assert np.array_equal(arrived.parts[1], source.parts[1])
    assert len(loan.data) < 1000
    assert arrived.values.ctypes.data % 64 == arrived.parts[0]["x"].ctypes.data % 64 == 0


def test_the_same_array_twice_is_copied_once_and_stays_the_same(crossing: Crossing) -> None:
    loan = crossing.lend([BASE, BASE])
    assert loan.block.size < 1.3 * BASE.nbytes
    first, second = crossing.open(loan).load()
    assert first is second


def test_a_data_frame_arrives_equal(crossing: Crossing) -> None:
    source = pd.DataFrame({"n": np.arange(N), "x": BASE[:N], "s": [f"row {n}" for n in range(N)]})
    source["when"] = pd.date_range("2026-01-01", periods=N, freq="s")
    arrived = crossing.send(source)
    pd.testing.assert_frame_equal(arrived, source)
    arrived.loc[0, "x"] = -1.0
    arrived["n"] += 1
    assert source.loc[0, "x"] == 0.0
    assert source.loc[0, "n"] == 0


def test_what_the_borrower_writes_is_its_own(crossing: Crossing) -> None:
    source = np.arange(N)
    loan = crossing.lend(source)
    parcel = crossing.open(loan)
    arrived = parcel.load()
    arrived[:] = -1
    assert np.array_equal(source, np.arange(N))
    # Whoever else gets the same loan, another worker or the same in a second try, finds what was lent.
    assert np.array_equal(crossing.open(loan).load(), np.arange(N))
    assert np.array_equal(parcel.load(), np.arange(N))
    assert (arrived == -1).all()


def test_what_the_lender_does_afterwards_changes_nothing(crossing: Crossing) -> None:
    source = np.arange(N)
    arrived = crossing.send(source)
    source[:] = -1
    assert np.array_equal(arrived, np.arange(N))


@pytest.mark.parametrize("source", [1, (1, 2.5, "abc"), [{}] * 50, b"x" * 1000, np.arange(100), bytearray(9)])
def test_what_is_small_is_plain_pickle(source: Any, crossing: Crossing) -> None:
    assert pack(pickle.dumps, source, crossing.depot) == pickle.dumps(source, 5)
    assert crossing.depot.lent_bytes == crossing.depot.idle_bytes == 0


@pytest.mark.parametrize(
    "source", [BASE, [BASE, b"x" * LARGE], b"x" * LARGE, (b"x" * LARGE,), bytearray(LARGE)]
)
def test_without_memory_it_is_plain_pickle(source: Any) -> None:
    depot = Depot(left=lambda: 0)
    assert pack(pickle.dumps, source, depot) == pickle.dumps(source, 5)
    assert depot.refusals == 1


def test_a_block_that_cannot_be_written_is_given_back(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> int:
        raise OSError("no space")

    monkeypatch.setattr(os, "pwrite", fails)
    written = BASE[:100_000]  # what is larger goes through a mapping
    assert pack(pickle.dumps, written, crossing.depot) == pickle.dumps(written, 5)
    assert crossing.depot.lent_bytes == 0


class Stubborn:
    def __reduce__(self) -> tuple[Any, ...]:
        raise LookupError("not me")


@pytest.mark.parametrize("source", [[BASE, Stubborn()], [BASE, lambda: 1], [BASE, memoryview(b"x")]])
def test_what_pickling_raises_comes_through_and_lends_nothing(source: Any, crossing: Crossing) -> None:
    with pytest.raises(Exception) as ours:
        pack(pickle.dumps, source, crossing.depot)
    with pytest.raises(Exception) as plain:
        pickle.dumps(source, 5)
    assert type(ours.value) is type(plain.value)
    assert str(ours.value) == str(plain.value)
    assert crossing.depot.lent_bytes == 0


class Offering:
    """Offers a buffer as it is, contiguous or not."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Offering, (pickle.PickleBuffer(self.memory),)


def test_a_buffer_with_holes_is_refused_as_by_pickle(crossing: Crossing) -> None:
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        pack(pickle.dumps, Offering(memoryview(bytes(LARGE))[::2]), crossing.depot)


@pytest.mark.parametrize("size", [THRESHOLD, 2 * MAPPED_FROM])
def test_a_rebuilt_buffer_is_plain_writable_memory(size: int, crossing: Crossing) -> None:
    """As pickle would have made it of a `bytearray`: some look at it as other than bytes."""
    view = memoryview(crossing.send(Offering(bytearray(size))).memory)
    assert not view.readonly
    view.cast("d")[0] = 1.5
    read_only = memoryview(crossing.send(Offering(bytes(size))).memory)
    assert read_only.readonly


# -- leases


def test_the_lease_ends_with_the_last_array_and_not_before(crossing: Crossing) -> None:
    loan = crossing.lend({"a": BASE[:N], "b": BASE[:N] + 1})
    parcel = crossing.open(loan)
    arrived = parcel.load()
    derived = arrived["a"][16:][::2].reshape(-1, 4)[1:, :2].T
    view = memoryview(arrived["b"])[3:]
    del parcel, arrived
    gc.collect()
    assert not crossing.returned
    del derived
    gc.collect()
    assert not crossing.returned
    assert view[0] == 4.0
    del view
    assert list(crossing.returned) == [loan.block_id]


def test_a_slice_of_a_slice_keeps_the_lease(crossing: Crossing) -> None:
    rest = crossing.send(BASE)[5:][7:][:3]
    gc.collect()
    assert not crossing.returned
    assert rest.tolist() == [12.0, 13.0, 14.0]
    del rest
    assert len(crossing.returned) == 1


def test_a_copy_does_not_keep_the_lease(crossing: Crossing) -> None:
    copied = crossing.send(BASE) * 2
    assert len(crossing.returned) == 1
    assert copied[3] == 6.0


def test_a_parcel_that_nobody_loads_keeps_the_lease_until_it_is_gone(crossing: Crossing) -> None:
    parcel = crossing.open(crossing.lend(BASE))
    assert not crossing.returned
    del parcel
    assert len(crossing.returned) == 1


def test_each_opening_returns_its_own_token_once(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    first, second = crossing.open(loan, ("worker", 1)), crossing.open(loan, ("worker", 2))
    arrays = [first.load(), first.load(), second.load()]
    del first, second
    arrays.pop()
    assert list(crossing.returned) == [("worker", 2)]
    arrays.pop()
    assert len(crossing.returned) == 1
    arrays.pop()
    assert list(crossing.returned) == [("worker", 2), ("worker", 1)]


def test_garbage_in_a_cycle_ends_its_lease_when_it_is_collected(crossing: Crossing) -> None:
    cycle: list[Any] = [crossing.send(BASE)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert len(crossing.returned) == 1


def test_a_block_is_lent_again_once_loan_and_leases_are_gone(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    first = loan.block_id
    arrived = crossing.open(loan).load()
    del loan
    other = crossing.lend(BASE + 1)
    assert other.block_id != first
    del arrived
    assert crossing.settle() == [first]
    again = crossing.lend(BASE + 2)
    assert again.block_id == first
    assert np.array_equal(crossing.open(again).load(), BASE + 2)


def test_a_loan_keeps_its_block_for_another_try(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    for _ in range(3):
        assert np.array_equal(crossing.open(loan).load(), BASE)
        crossing.settle()
        assert crossing.lend(BASE).block_id != loan.block_id


def test_many_that_are_kept_are_copied_out_so_that_blocks_go_on_circulating(crossing: Crossing) -> None:
    kept, returned = [], 0
    for n in range(MOST_MAPPED + 40):
        kept.append(crossing.send(np.full(N, n)))
        returned += len(crossing.settle())
    assert returned == 40
    assert all((one == n).all() for n, one in enumerate(kept))
    assert crossing.depot.refusals == 0
    kept[0][:] = 5
    kept[-1][:] = 5
    del kept
    assert len(crossing.settle()) == MOST_MAPPED
    one = crossing.send(BASE)
    assert not crossing.returned  # there is room for its mapping again
    assert one[5] == 5.0


def test_what_is_small_is_copied_out_and_its_block_returned_at_once(crossing: Crossing) -> None:
    kept = crossing.send(np.arange(THRESHOLD // 8))
    assert len(crossing.returned) == 1
    kept += 1


# -- what the borrower knows


def test_an_unknown_block_says_so(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    with pytest.raises(KeyError, match="never announced here, or is forgotten"):
        crossing.borrowed.open(loan.data)
    crossing.open(loan)
    crossing.borrowed.forget(loan.block_id)
    assert crossing.borrowed.block(loan.block_id) is None
    with pytest.raises(KeyError, match=str(loan.block_id)):
        crossing.borrowed.open(loan.data)
    crossing.borrowed.forget(loan.block_id)


def test_a_block_that_is_announced_twice_is_learnt_once(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    parcel = crossing.open(loan)
    again = os.dup(loan.block.descriptor)
    crossing.borrowed.learn(loan.block_id, loan.block.size, again)
    with pytest.raises(OSError):
        os.fstat(again)
    assert np.array_equal(parcel.load(), BASE)


def test_the_same_descriptor_may_be_told_twice(crossing: Crossing) -> None:
    """Whoever was struck while he told it tells it again."""
    loan = crossing.lend(BASE)
    number = os.dup(loan.block.descriptor)
    for _ in range(2):
        crossing.borrowed.learn(loan.block_id, loan.block.size, number)
    assert np.array_equal(crossing.open(loan).load(), BASE)


def test_what_was_opened_can_be_loaded_after_its_lender_is_gone(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    parcel, arrived = crossing.open(loan), crossing.open(loan).load()
    del loan
    crossing.close()
    gc.collect()
    assert np.array_equal(parcel.load(), BASE)
    assert np.array_equal(arrived, BASE)


def test_data_may_come_as_a_view(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    crossing.open(loan)
    received = bytearray(b"before" + loan.data)
    parcel = crossing.borrowed.open(memoryview(received)[6:])
    received.clear()  # not possible while a view is kept
    assert np.array_equal(parcel.load(), BASE)


# -- many


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400_000), st.sampled_from("ab"), st.booleans()), max_size=4),
    st.integers(0, 9),
)
def test_any_mixture_of_sizes_arrives(parts: list[tuple[int, str, bool]], keep: int) -> None:
    crossing = Crossing()
    source = [
        np.arange(size, dtype="u1") if kind == "a" else os.urandom(size) if twice else bytearray(size)
        for size, kind, twice in parts
    ]
    arrived = crossing.send(source)
    assert len(arrived) == len(source)
    assert all(bytes(there) == bytes(here) for there, here in zip(arrived, source, strict=True))
    kept = arrived[:keep]
    del arrived
    gc.collect()
    assert all(bytes(there) == bytes(here) for there, here in zip(kept, source, strict=False))
    kept.clear()
    crossing.settle()
    assert crossing.depot.lent_bytes == 0
    crossing.close()


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_thousands_of_transfers_leave_descriptors_and_memory_flat(crossing: Crossing) -> None:
    def some(count: int) -> None:
        for n in range(count):
            size = (n % 7 + 1) * N // 2
            assert crossing.send(BASE[:size])[-1] == size - 1
            crossing.settle()

    some(200)
    gc.collect()
    descriptors, memory = len(os.listdir("/proc/self/fd")), resident()
    some(3000)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert resident() < memory + 10_000_000
    assert isinstance(pack(pickle.dumps, BASE, crossing.depot), Loan)
