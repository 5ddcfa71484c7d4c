"""What can travel does; what cannot is named by the path to it, and by whose doing it was."""

from __future__ import annotations

import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from phalanx._wire.pickling import decode, encode, encode_by_value, encode_result
from phalanx._wire.refusal import explain_refusal
from phalanx.errors import NotSendable

LOCK = threading.Lock()
BAD_LOCK = LOCK

Pair = namedtuple("Pair", "left right")


class Box:
    """Holds whatever is put in."""

    def __init__(self, **content: Any) -> None:
        self.__dict__.update(content)


class Slotted:
    __slots__ = ("lock", "other")

    def __init__(self) -> None:
        self.other, self.lock = 1, LOCK


@dataclass(frozen=True, slots=True)
class Frozen:
    number: int
    lock: Any


@dataclass
class Open:
    lock: Any = field(default_factory=threading.Lock)


class Bag(dict[str, Any]):
    pass


class Row(list[Any]):
    pass


class Refusing:
    """Its own `__reduce__` raises."""

    def __init__(self, error: type[Exception] = ValueError) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error("mine")


class RefusingFromC:
    """Its own `__getstate__` runs into a C function that raises what pickle would."""

    def __getstate__(self) -> Any:
        return pickle.dumps(LOCK)


class Endless:
    def __reduce__(self) -> Any:
        return self.again()

    def again(self) -> Any:
        return self.again()


@dataclass(frozen=True, slots=True)
class Link:
    """Pickled by a Python method of its class, but innocent of the depth."""

    inner: Any


def nested(depth: int, wrap: Any = lambda inner: [inner]) -> Any:
    inner: Any = None
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def captures_lock() -> Any:
    lock = threading.Lock()
    return lambda: lock


def uses_global_lock() -> Any:
    def inner() -> Any:
        return [BAD_LOCK for _ in "ab"]

    return inner


def refused(obj: Any, **how: Any) -> NotSendable:
    with pytest.raises(NotSendable) as caught:
        encode(obj, **how)
    return caught.value


@pytest.mark.parametrize("obj", [1, "a", None, [1, {"b": (2, 3)}], range(5), len, Box, Pair(1, 2)])
def test_what_can_be_pickled_comes_back(obj: Any) -> None:
    assert decode(encode(obj)) == obj
    assert decode(encode_result(obj)) == obj


def test_plain_pickle_is_what_travels_when_it_can() -> None:
    assert encode(Box(a=1)) == pickle.dumps(Box(a=1), 5)


def test_bytes_in_a_view_can_be_decoded() -> None:
    assert decode(memoryview(encode([1, 2]))) == [1, 2]


def test_code_without_a_name_travels_by_value() -> None:
    two = 2
    assert decode(encode(lambda x: x + two))(3) == 5
    assert decode(encode(([lambda: 7], {})))[0][0]() == 7


def test_by_value_holds_the_code() -> None:
    def local(x: int) -> int:
        return x * 2

    assert decode(encode_by_value(local))(4) == 8


def test_result_never_travels_by_value() -> None:
    with pytest.raises(NotSendable) as caught:
        encode_result(lambda: 1)
    assert (caught.value.side, caught.value.path) == ("result", "result")


def test_result_that_is_refused_is_what_the_standard_pool_raises() -> None:
    with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:  # type: ignore[attr-defined]
        encode_result([1, LOCK])
    assert "lock" in caught.value.value
    assert "cannot pickle" in caught.value.exc
    assert caught.value.path == "result[1]"


def test_refusal_names_side_path_and_reason() -> None:
    error = refused(((1, Box(config=Box(lock=LOCK))), {}), root=("args", "kwargs"))
    assert error.side == "argument"
    assert error.path == "args[1].config.lock"
    assert str(error).startswith("cannot send the argument: args[1].config.lock cannot be pickled: ")
    assert "cannot pickle '_thread.lock' object" in str(error)
    assert isinstance(error.__cause__, TypeError)


def test_refusal_travels_itself() -> None:
    error = refused([LOCK])
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (LOCK, "item"),
        ([1, 2, LOCK], "item[2]"),
        ([0, 1, 2, {"a": LOCK}], "item[3]['a']"),
        (("x", (LOCK,)), "item[1][0]"),
        ({LOCK: 1}, "item<key {lock}>"),
        ({1, LOCK}, "item<element {lock}>"),
        (Box(lock=LOCK), "item.lock"),
        (Box(a=[Box(b=LOCK)]), "item.a[0].b"),
        (Slotted(), "item.lock"),
        (Frozen(1, LOCK), "item.lock"),
        (Open(), "item.lock"),
        (Pair(1, LOCK), "item.right"),
        (Bag(a=LOCK), "item['a']"),
        (Row([1, LOCK]), "item[1]"),
        (deque([1, LOCK]), "item[1]"),
        (OrderedDict(k=LOCK), "item['k']"),
        (partial(print, 1, LOCK), "item.args[1]"),
        (partial(print, end=LOCK), "item.keywords['end']"),
        (Box(lock=LOCK).__init__, "item.__self__.lock"),
        (ValueError("a", LOCK), "item.args[1]"),
        (captures_lock(), "item.nonlocals['lock']"),
        (uses_global_lock(), "item.globals['BAD_LOCK']"),
        (lambda x=LOCK: x, "item.__defaults__[0]"),
        (lambda *, x=LOCK: x, "item.__kwdefaults__['x']"),
        ((n for n in [1]), "item"),
        ([memoryview(b"abc")], "item[0]"),
        (Box(frame=sys._getframe()), "item.frame"),
    ],
    ids=lambda value: value.replace("{", "<") if isinstance(value, str) else type(value).__name__,
)
def test_path_leads_to_what_is_refused(obj: Any, path: str) -> None:
    assert refused(obj).path == path.replace("{lock}", repr(LOCK))


def test_open_file_is_refused_not_sent_as_its_contents() -> None:
    with open(__file__) as file, open(os.devnull, "wb") as raw:
        assert refused(Box(log=file)).path == "item.log"
        assert refused(Box(log=raw)).path == "item.log"


def test_module_travels_by_name() -> None:
    assert decode(encode(Box(lib=os))).lib is os


def test_function_is_named_as_such() -> None:
    error = refused(captures_lock(), side="function", root="fn")
    assert str(error).startswith("cannot send the function: fn.nonlocals['lock'] cannot be pickled")


def test_cycle_does_not_hide_the_culprit() -> None:
    parent = Box(name="parent")
    parent.children = [Box(parent=parent), Box(parent=parent)]  # type: ignore[attr-defined]
    parent.lock = LOCK  # type: ignore[attr-defined]
    assert refused(parent).path == "item.lock"
    parent.children[1].own = LOCK  # type: ignore[attr-defined]
    assert refused(parent).path in {"item.lock", "item.children[1].own"}


def test_list_that_holds_itself_ends_the_walk() -> None:
    loop: list[Any] = []
    loop += [loop, 1, LOCK]
    assert refused(loop).path == "item[2]"


def test_needle_in_a_long_list_is_found() -> None:
    assert refused([*range(100_000), LOCK]).path == "item[100000]"


def test_large_buffers_are_not_taken_for_the_culprit() -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.zeros(100_000), numpy.array([1, LOCK], dtype=object)]
    path = refused(arrays).path
    assert path is not None
    assert path.startswith("item[1]")


def test_child_that_refers_to_its_refused_parent_is_not_taken_for_the_culprit() -> None:
    parent = Box()
    parent.child = Box(parent=parent, own=[1])  # type: ignore[attr-defined]
    parent.tool = Box(owner=parent, lock=LOCK)  # type: ignore[attr-defined]
    assert refused([parent]).path == "item[0].tool.lock"


def test_path_of_great_depth_is_cut_off() -> None:
    inner: Any = LOCK
    for _ in range(60):
        inner = [inner]
    path = refused(inner).path
    assert path is not None
    assert path.startswith("item[0][0]")
    assert path.endswith("...")


def test_too_deep_is_pickles_refusal() -> None:
    error = refused([nested(200_000)], root="items")
    assert "items is nested too deeply to be pickled" in str(error)
    assert isinstance(error.__cause__, RecursionError)
    with pytest.raises(NotSendable, match="nested too deeply"):
        encode_result(nested(200_000))
    with pytest.raises(NotSendable, match="nested too deeply"):
        encode_by_value(nested(200_000))


def test_depth_that_runs_out_in_an_innocent_method_is_a_refusal() -> None:
    refused(nested(50_000, Link))


def test_method_that_never_ends_is_the_methods_doing() -> None:
    with pytest.raises(RecursionError):
        encode(Endless())


@pytest.mark.parametrize("error", [ValueError, TypeError, AttributeError, pickle.PicklingError, OSError])
@pytest.mark.parametrize("send", [encode, encode_result, encode_by_value])
def test_what_a_users_method_raises_arrives_as_itself(send: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        send([1, Box(thing=Refusing(error))])
    assert (type(caught.value), str(caught.value)) == (error, "mine")
    root = "result" if send is encode_result else "fn" if send is encode_by_value else "item"
    (note,) = caught.value.__notes__
    assert note.startswith(f"phalanx: raised while pickling {root}[1].thing (")


def test_refusal_met_inside_a_users_method_is_the_methods() -> None:
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        encode(RefusingFromC())
    assert type(caught.value) is TypeError


def test_method_that_raises_next_to_a_lambda_arrives_as_itself() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        encode([lambda: 1, Refusing()])
    assert "item[1]" in caught.value.__notes__[0]


def test_same_error_raised_again_is_noted_once() -> None:
    class Singleton:
        error = ValueError("always this one")

        def __reduce__(self) -> Any:
            raise self.error

    for _ in range(3):
        with pytest.raises(ValueError, match="always"):
            encode_result(Singleton())
    assert len(Singleton.error.__notes__) == 1


class Flaky:
    """Refuses the first time only."""

    times = 0

    def __getstate__(self) -> Any:
        Flaky.times += 1
        if Flaky.times == 1:
            raise ValueError("once")
        return {}


def test_path_of_a_refusal_that_does_not_come_again_is_the_root() -> None:
    Flaky.times = 0
    with pytest.raises(ValueError, match="once") as caught:
        encode([Flaky()])
    assert caught.value.__notes__ == ["phalanx: raised while pickling item (argument)"]


class Evil:
    """Every question raises."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError


def test_explaining_never_raises() -> None:
    assert explain_refusal(Evil(), TypeError()) == "item"
    assert explain_refusal([Evil()], TypeError(), root="items") == "items[0]"
    assert explain_refusal((1, 2), TypeError(), root=("args", "kwargs")) == "args, kwargs"


def test_interrupt_is_nobodys_refusal() -> None:
    with pytest.raises(KeyboardInterrupt):
        encode(Refusing(KeyboardInterrupt))  # type: ignore[arg-type]


def test_wire_is_light() -> None:
    program = (
        "import sys, phalanx._wire.pickling as p; p.decode(p.encode([1])); p.decode_error(p.encode_error("
        "ValueError())); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"cloudpickle", "multiprocessing", "concurrent.futures", "logging", "phalanx._base.errors"}
    assert not heavy & set(run.stdout.split())
