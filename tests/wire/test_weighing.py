"""How much something is when it travels, told without making it a second time."""

from __future__ import annotations

import pickle
import threading
import tracemalloc
from typing import Any

import pytest

from phalanx._wire.weighing import pickled_size


@pytest.mark.parametrize(
    "obj", [1, "text", [1, 2, {"a": b"bc"}], b"x" * 200_000, ("y" * 100_000, bytearray(70_000))]
)
def test_it_is_what_pickle_makes(obj: Any) -> None:
    assert pickled_size(obj) == len(pickle.dumps(obj, 5))


def test_buffers_count() -> None:
    size = pickled_size([pickle.PickleBuffer(bytearray(1_000_000)), 1])
    assert size is not None
    assert 1_000_000 < size < 1_000_100


def test_what_pickle_refuses_has_no_size() -> None:
    assert pickled_size([1, threading.Lock()]) is None


def test_something_large_is_not_copied() -> None:
    content = [b"x" * 10_000_000, pickle.PickleBuffer(bytearray(10_000_000))]
    tracemalloc.start()
    try:
        assert (pickled_size(content) or 0) > 20_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
