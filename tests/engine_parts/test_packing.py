"""From calls and items to messages, and from outcomes to values."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from phalanx._engine.arrivals import LOCAL, Segment
from phalanx._engine.direct import DirectPacker
from phalanx._engine.packing import Packer, PicklePacker
from phalanx._wire.failures import encode_error
from phalanx._wire.frames import EACH, ERROR, VALUE, WHOLE
from phalanx._wire.pickling import encode
from phalanx.errors import NotSendable
from tests.worker.pair import attach


class Bomb:
    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("boom")


@pytest.fixture(params=[PicklePacker, DirectPacker])
def packer(request: pytest.FixtureRequest) -> Packer:
    found: Packer = request.param(attach)
    return found


def test_items_that_pickle_go_as_a_whole() -> None:
    packer = PicklePacker(attach)
    assert packer.items(range(3))[0] == WHOLE
    assert packer.items([1, "a", None])[0] == WHOLE


def test_an_item_that_does_not_pickle_leaves_the_others_alone() -> None:
    form, pieces = PicklePacker(attach).items([1, threading.Lock(), 3])
    assert form == EACH
    assert [tag for tag, _ in pieces] == [VALUE, ERROR, VALUE]


def test_items_of_this_process_go_as_they_are() -> None:
    items = [object(), threading.Lock()]
    form, pieces = DirectPacker(attach).items(items)
    assert form == EACH
    assert [data for _, data in pieces] == items


def test_a_refused_argument_is_named_by_its_place() -> None:
    packer = PicklePacker(attach)
    with pytest.raises(NotSendable) as caught:
        packer.call(("fine", threading.Lock()), {})
    assert caught.value.path == "args[1]"
    with pytest.raises(NotSendable) as caught:
        packer.call((), {"key": threading.Lock()}, len)
    assert caught.value.path == "kwargs['key']"


class Number(int):
    """Whose pickling is not ours."""


def test_only_arguments_that_cannot_change_are_pickled_later() -> None:
    packer = PicklePacker(attach)
    assert packer.call((1, 2.5, True, None, "name"), {}) == [1, 2.5, True, None, "name"]
    assert packer.call((), {}) == []
    for args in (([],), (Number(),), (b"bytes",), ("x" * 1001,), (1,) * 17, ((1,),), (1, {})):
        assert pickle.loads(packer.call(args, {})) == (args, {})
    assert pickle.loads(packer.call((1,), {"base": 2})) == ((1,), {"base": 2})
    assert pickle.loads(packer.call((1,), {}, len)) == (len, (1,), {})
    assert pickle.loads(packer.call((), {}, None)) == (None, (), {})


def test_a_lambda_travels_and_a_lock_as_a_function_does_not() -> None:
    packer = PicklePacker(attach)
    assert packer.function(lambda x: x)
    with pytest.raises(NotSendable) as caught:
        packer.function(threading.Lock().acquire)
    assert caught.value.side == "function"


def test_outcomes_are_rebuilt_each_by_itself() -> None:
    packer = PicklePacker(attach)
    body = [
        (VALUE, encode([1])),
        (VALUE, encode(Bomb())),
        (ERROR, encode_error(KeyError(3), "trace", "note")),
    ]
    outcomes = list(packer.outcomes(Segment(0, 3, EACH, body)))
    assert outcomes[0] == (True, [1])
    assert not outcomes[1][0]
    assert (type(outcomes[1][1]), str(outcomes[1][1])) == (RuntimeError, "boom")
    assert "cannot be rebuilt in the calling process" in outcomes[1][1].__notes__[0]
    error = outcomes[2][1]
    assert (type(error), error.args, error.__notes__) == (KeyError, (3,), ["note"])
    assert str(error.__cause__) == "trace"


def test_outcomes_made_here_ask_for_each_index(packer: Packer) -> None:
    made = Segment(5, 8, LOCAL, lambda index: ValueError(index))
    assert [(ok, error.args) for ok, error in packer.outcomes(made)] == [
        (False, (5,)),
        (False, (6,)),
        (False, (7,)),
    ]


def test_a_note_is_added_once_however_often_an_outcome_is_read() -> None:
    packer, error = DirectPacker(attach), ValueError()
    for _ in range(3):
        packer.outcome(ERROR, (error, "", "note"))
    assert error.__notes__ == ["note"]
