"""Looking into pickles that may be dangerous."""

from __future__ import annotations

import collections
import os
import pickle
from typing import Any

from phalanx._wire.opaque import outline


class Deadly:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


class Stateful:
    def __init__(self) -> None:
        self.inner = [1, 2]


def test_plain_values_are_rebuilt() -> None:
    value = ((1, "two", 3.0, None), {"key": [b"bytes", True]})
    assert outline(pickle.dumps(value, 5)) == value


def test_nothing_that_the_pickle_names_is_called() -> None:
    shown = outline(pickle.dumps(((Deadly(), 7), {}), 5))
    assert repr(shown) == "((<posix._exit>, 7), {})"


def test_objects_become_stand_ins_that_know_their_names() -> None:
    shown = outline(pickle.dumps([Stateful(), collections.OrderedDict(a=1), collections.deque([1]), len], 5))
    assert [repr(each) for each in shown[:3]] == [
        f"<{__name__}.Stateful>",
        "<collections.OrderedDict>",
        "<collections.deque>",
    ]
