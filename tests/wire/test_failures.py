"""Every exception arrives: as itself, or as a substitute that tells all of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from phalanx._wire.failures import decode_error, encode_error
from phalanx.errors import NotSendable, WorkerLost

TRACE = "Traceback (most recent call last):\n  ..."
NOTE = "phalanx: item 3"


class WrongSignature(Exception):
    """Pickles, but cannot be rebuilt: `args` are not what `__init__` wants."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"code {code} at {where}")
        self.code = code


class HoldsLock(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.tool = {"lock": threading.Lock()}


class ForgetsNotes(Exception):
    def __reduce__(self) -> Any:
        return ForgetsNotes, self.args


class BecomesText(Exception):
    def __reduce__(self) -> Any:
        return str, ("not an exception",)


class ReprRaises(HoldsLock):
    def __repr__(self) -> str:
        raise ZeroDivisionError


class ExitsWhenRebuilt(Exception):
    def __init__(self, *args: Any) -> None:
        if args:
            raise SystemExit(3)


class ReduceExits(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(3)

    def __repr__(self) -> str:
        raise SystemExit(3)


def travel(error: BaseException) -> BaseException:
    arrived, trace, note = decode_error(encode_error(error, TRACE, NOTE))
    assert (trace, note) == (TRACE, NOTE)
    return arrived


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no", 3),
        KeyError("k"),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
        SystemExit(4),
        KeyboardInterrupt(),
        ExceptionGroup("several", [ValueError(1), TypeError(2)]),
        WorkerLost("gone", index=3, reason="SIGKILL"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exception_arrives_as_itself(error: BaseException) -> None:
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert repr(arrived) == repr(error)
    assert vars(arrived) == vars(error)


def test_each_decoding_gives_an_exception_of_its_own() -> None:
    data = encode_error(ValueError("no"))
    assert decode_error(data)[0] is not decode_error(data)[0]


@pytest.mark.parametrize("kind", [ValueError, ForgetsNotes])
def test_notes_arrive_once(kind: type[Exception]) -> None:
    error = kind("no")
    error.add_note("one")
    error.add_note("two")
    assert travel(error).__notes__ == ["one", "two"]


def test_exception_that_cannot_be_rebuilt_has_a_substitute() -> None:
    arrived = travel(WrongSignature(7, "home"))
    assert isinstance(arrived, NotSendable)
    assert arrived.side == "exception"
    assert arrived.value == "WrongSignature('code 7 at home')"
    assert "pickled but not rebuilt" in str(arrived)
    assert "missing 1 required positional argument: 'where'" in str(arrived)
    assert arrived.traceback == TRACE
    assert "phalanx: its attributes: code=7" in arrived.__notes__
    assert f"phalanx: stands for an exception of type {__name__}.WrongSignature" in arrived.__notes__


def test_exception_that_cannot_be_pickled_has_a_substitute_with_the_path() -> None:
    error = HoldsLock()
    error.add_note("seen")
    arrived = travel(error)
    assert isinstance(arrived, NotSendable)
    assert arrived.path == "exception.tool['lock']"
    assert arrived.value == "HoldsLock('holds a lock')"
    assert "cannot pickle '_thread.lock' object" in str(arrived)
    assert arrived.__notes__[-1] == "seen"


def test_substitute_can_travel_on() -> None:
    arrived = travel(HoldsLock())
    assert vars(pickle.loads(pickle.dumps(arrived))) == vars(arrived)


@pytest.mark.parametrize("kind", [BecomesText, ReprRaises, ExitsWhenRebuilt, ReduceExits])
def test_whatever_the_exception_does_a_substitute_arrives(kind: type[Exception]) -> None:
    error = kind()
    error.args = ("x",)
    arrived = travel(error)
    assert isinstance(arrived, NotSendable)
    assert kind.__name__ in " ".join([str(arrived), *getattr(arrived, "__notes__", ())])


def test_exception_of_a_local_class_arrives_by_value() -> None:
    class Local(Exception):
        def shout(self) -> str:
            return str(self).upper()

    arrived = travel(Local("here"))
    assert type(arrived) is Local
    assert arrived.shout() == "HERE"


def test_exception_that_only_the_sender_could_rebuild_has_a_substitute() -> None:
    program = """
        import sys, types
        from phalanx._wire.failures import encode_error
        module = sys.modules["elsewhere"] = types.ModuleType("elsewhere")
        exec("class Gone(Exception): pass", module.__dict__)
        sys.stdout.buffer.write(encode_error(module.Gone("far"), "trace", "note"))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=True)
    arrived, trace, note = decode_error(run.stdout)
    assert isinstance(arrived, NotSendable)
    assert (arrived.value, trace, note, arrived.traceback) == ("Gone('far')", "trace", "note", "trace")
    assert "cannot be rebuilt in this process" in str(arrived)
    assert "elsewhere" in str(arrived.exc)


@pytest.mark.parametrize("data", [b"", b"garbage", encode_error(ValueError())[:-5], pickle.dumps(3)])
def test_damaged_report_is_an_exception_too(data: bytes) -> None:
    arrived, trace, note = decode_error(data)
    assert isinstance(arrived, NotSendable)
    assert "damaged" in str(arrived)
    assert (trace, note) == ("", "")
