"""What crosses in blocks of shared memory arrives as it does by ordinary pickle, bit for bit, by every door."""

from __future__ import annotations

import array
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import phalanx
from phalanx import Executor, Pool
from tests.data.tasks import (
    Sample,
    both,
    checked,
    echo,
    made,
    number_of,
    sealed,
    swap,
    twice,
)

FLOATS = np.random.default_rng(1).standard_normal((400, 300))
READ_ONLY = FLOATS.copy()
READ_ONLY.flags.writeable = False

ARRAYS = {
    "whole": FLOATS,
    "slice of rows": FLOATS[13:391],
    "slice of columns": FLOATS[:, 5:291],
    "with steps": FLOATS[::2, ::3],
    "backwards": FLOATS[::-1],
    "transposed": FLOATS.T,
    "in Fortran order": np.asfortranarray(FLOATS),
    "axes moved": np.moveaxis(FLOATS.reshape(40, 10, 300), 0, 2),
    "broadcast": np.broadcast_to(FLOATS[0], (400, 300)),
    "read-only": READ_ONLY,
    "empty": FLOATS[:0],
    "empty, two axes": np.empty((0, 100_000)),
    "no dimensions": np.array(3.5),
    "objects": np.array([FLOATS, "text", None, 3], dtype=object),
    "structured": np.zeros(10_000, dtype=[("a", "i4"), ("b", "f8", (3,))]),
    "dates": np.arange("2000-01-01", "2040-01-01", dtype="datetime64[D]").repeat(8),
    "text": np.array(["ä" * 20, "b"] * 5_000),
    "complex": FLOATS + 1j,
    "swapped bytes": FLOATS.astype(">f8"),
    "bools": FLOATS > 0,
    "not numbers": np.full((300, 300), np.nan),
    "masked": np.ma.masked_array(FLOATS, FLOATS > 0),
    "not aligned": np.frombuffer(bytes(range(256)) * 4_000, dtype="u1")[1:960_001].view("<f4"),
    "sub-class": FLOATS.view(np.recarray),
}
OTHERS: dict[str, Any] = {
    "bytes": bytes(range(256)) * 4_000,
    "bytearray": bytearray(range(256)) * 4_000,
    "array.array": array.array("d", range(100_000)),
    "string": "grün" * 200_000,
    "int": 7**400_000,
    "tuple of ints": tuple(range(200_000)),
    "set": set(range(50_000)),
    "data frame": pd.DataFrame(
        {"n": np.arange(50_000), "x": FLOATS.ravel()[:50_000], "s": ["x", "yz"] * 25_000}
    ),
    "series": pd.Series(FLOATS.ravel(), name="numbers"),
    "categories": pd.Series(["a", "b"] * 100_000, dtype="category"),
}


def assert_same(arrived: Any, sent: Any) -> None:
    """As `sent` is after ordinary pickling: type, layout, bits, and whether it may be written to."""
    wanted = pickle.loads(pickle.dumps(sent, 5))
    assert type(arrived) is type(wanted)
    if isinstance(wanted, np.ma.MaskedArray):
        assert_same(arrived.data, wanted.data)
        assert_same(arrived.mask, wanted.mask)
    elif isinstance(wanted, np.ndarray):
        assert (arrived.dtype, arrived.shape, arrived.strides) == (wanted.dtype, wanted.shape, wanted.strides)
        assert arrived.flags.writeable == wanted.flags.writeable
        if wanted.dtype.hasobject:
            for one, other in zip(arrived, wanted, strict=True):
                assert_same(one, other)
        else:
            assert arrived.tobytes() == wanted.tobytes()
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(arrived, wanted)
    elif isinstance(wanted, pd.Series):
        pd.testing.assert_series_equal(arrived, wanted)
    elif isinstance(wanted, list):
        for one, other in zip(arrived, wanted, strict=True):
            assert_same(one, other)
    else:
        assert arrived == wanted


def as_array(content: bytes) -> Any:
    return np.frombuffer(content, np.uint8)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_every_kind_go_there_and_back(kind: str, forked: Executor) -> None:
    sent = ARRAYS[kind]
    for arrived in forked.submit(twice, sent).result():
        assert_same(arrived, sent)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_large_objects_go_there_and_back(kind: str, forked: Executor) -> None:
    assert_same(forked.submit(echo, OTHERS[kind]).result(), OTHERS[kind])
    assert_same(forked.submit(echo, [OTHERS[kind]] * 2).result(), [OTHERS[kind]] * 2)


def test_everything_at_once_by_each_start_method(pool: Pool) -> None:
    sent = {**ARRAYS, **OTHERS}
    arrived = pool.map(echo, list(sent.values()), chunksize=3)
    for one, other in zip(arrived, sent.values(), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 4_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, as_array])
def test_sizes_around_each_threshold(size: int, kind: Any, forked: Executor) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    sent = kind(content)
    assert_same(forked.submit(echo, sent).result(), sent)
    assert_same(list(forked.map(echo, [sent] * 3))[2], sent)


def test_a_memoryview_is_refused_as_in_the_standard_library(forked: Executor) -> None:
    with pytest.raises(TypeError, match="memoryview"):
        pickle.dumps(memoryview(b"x"))
    with pytest.raises(pickle.PicklingError, match="memoryview"):
        forked.submit(echo, memoryview(bytes(1_000_000))).result()
    assert forked.submit(number_of, sealed(1)).result() == 1


ITEMS = [sealed(number) for number in range(16)]


def check(results: Any) -> None:
    """The sixteen, in order, sound, and the receiver's to write to."""
    results = list(results)
    assert [number_of(result) for result in results] == list(range(16))
    assert all(result.flags.writeable for result in results)


def test_a_pool_in_all_its_ways(pool: Pool) -> None:
    check(pool.map(checked, ITEMS))
    check(pool.map(checked, ITEMS, chunksize=5))
    check(pool.imap(checked, iter(ITEMS)))
    check(sorted(pool.imap_unordered(checked, ITEMS), key=number_of))
    check(pool.map_async(checked, ITEMS).get())
    check([pool.apply(checked, (item,)) for item in ITEMS])
    check([result.get() for result in [pool.apply_async(checked, (item,)) for item in ITEMS]])
    for place, other in enumerate(pool.starmap(both, zip(ITEMS, reversed(ITEMS), strict=True))):
        assert [number_of(each) for each in other] == [place, 15 - place]


def test_an_executor_in_all_its_ways(executor: Executor) -> None:
    check(future.result() for future in [executor.submit(checked, item) for item in ITEMS])
    check(executor.submit(checked, content=item).result() for item in ITEMS)
    check(executor.map(checked, ITEMS))
    check(executor.map(checked, ITEMS, chunksize=4))
    check(executor.map(checked, iter(ITEMS), buffersize=3))
    check(executor.stream(checked, iter(ITEMS)))
    check(sorted(executor.stream(checked, ITEMS, ordered=False), key=number_of))


def test_maps_and_streams_without_a_pool(start_method: str) -> None:
    options: dict[str, Any] = {"workers": 2, "start_method": start_method}
    check(phalanx.map(checked, ITEMS, **options))
    check(phalanx.stream(checked, iter(ITEMS), **options))
    check(phalanx.map(made, range(16), **options))


def test_a_function_that_has_a_large_object_in_it(executor: Executor) -> None:
    large = sealed(7, 1_000_000)
    assert list(executor.map(lambda x: (x, number_of(large)), range(4))) == [(x, 7) for x in range(4)]


def test_initializers_take_large_arguments(start_method: str) -> None:
    with Pool(2, number_of, (sealed(3, 1_000_000),), start_method=start_method) as pool:
        check(pool.map(checked, ITEMS))


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_nothing_is_copied_within_one_process(backend: str) -> None:
    with Executor(2, backend=backend) as executor:
        for item in ITEMS:
            assert executor.submit(echo, item).result() is item


def test_many_arrays_in_one_item(executor: Executor) -> None:
    sent = [sealed(number, 70_000 + 4_099 * number) for number in range(40)]
    assert [number_of(each) for each in executor.submit(echo, sent).result()] == list(range(40))
    tree = {"all": sent, "some": (sent[3], {"one": sent[5]}), "copy": sent[3].copy()}
    back = executor.submit(echo, tree).result()
    assert back["some"][0] is back["all"][3], "one object is one object on the other side as well"
    assert back["some"][1]["one"] is back["all"][5]
    assert back["copy"] is not back["all"][3]
    assert number_of(back["copy"]) == 3


def test_the_same_array_in_many_items(executor: Executor) -> None:
    one = sealed(9)
    arrived = list(executor.map(echo, [one] * 50, chunksize=7))
    arrived[20][:] = 0
    assert all(number_of(each) == 9 for place, each in enumerate(arrived) if place != 20)
    assert number_of(one) == 9


def test_fields_of_objects(executor: Executor) -> None:
    sent = Sample("ab", sealed(1), [sealed(2), sealed(3)])
    back = executor.submit(swap, sent).result()
    assert (back.name, number_of(back.left), number_of(back.right[0])) == ("ba", 2, 1)
