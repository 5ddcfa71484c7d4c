"""Exceptions that strike from outside, as those of signal handlers do: systematically, or in a storm.

CPython runs signal handlers (and delivers what another thread throws) at fixed places only: when a function
begins, after a call, at a jump back. `strike(n)` raises at the n-th of those that the calling thread comes by
inside phalanx, so that a loop over n visits every place where an interrupt can hit one operation.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import phalanx

_HOME = str(Path(phalanx.__file__).parent)
_CHECKING = ("CALL", "JUMP_BACKWARD", "RESUME")
_NOT_CHECKING = ("CALL_INTRINSIC", "JUMP_BACKWARD_NO_INTERRUPT")


class Struck(BaseException):
    """What strikes. Not an `Exception`, as `KeyboardInterrupt` is not one."""


@cache
def _checkpoints(code: CodeType) -> frozenset[int]:
    """Offsets of the instructions that come right after one at which signal handlers may run."""
    if not code.co_filename.startswith(_HOME):
        return frozenset()
    found, checking = set(), False
    for instruction in dis.get_instructions(code):
        if checking:
            found.add(instruction.offset)
        name = instruction.opname
        checking = name.startswith(_CHECKING) and not name.startswith(_NOT_CHECKING)
        if name.startswith("JUMP_BACKWARD") and checking:
            found.add(instruction.argval)
    return frozenset(found)


class Blow:
    """Whether a strike has fallen, and where."""

    def __init__(self, number: int, error: Callable[[], BaseException]) -> None:
        self.left = number
        self.error = error
        self.place = ""
        self.was_ignored = False
        """It fell in code that the interpreter runs while it frees something, and that cannot raise."""

    def ignore(self, what: Any) -> None:
        """The interpreter's hook for such exceptions."""
        assert isinstance(what.exc_value, type(self.error())), what
        self.was_ignored = True

    @property
    def fell(self) -> bool:
        return bool(self.place)

    def enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        """The trace function of the thread."""
        if not _checkpoints(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self.step

    def step(self, frame: FrameType, event: str, arg: Any) -> Any:
        """The trace function of a frame."""
        if event == "opcode" and frame.f_lasti in _checkpoints(frame.f_code):
            self.left -= 1
            if self.left <= 0:
                name = Path(frame.f_code.co_filename).name
                self.place = f"{name}:{frame.f_lineno} {frame.f_code.co_qualname}+{frame.f_lasti}"
                sys.settrace(None)
                raise self.error()
        return self.step


@contextmanager
def strike(number: int, error: Callable[[], BaseException] = Struck) -> Iterator[Blow]:
    """Raise at the `number`-th place (from 1) of what the block does in phalanx, in this thread."""
    blow = Blow(number, error)
    before, hook = sys.gettrace(), sys.unraisablehook
    sys.unraisablehook = blow.ignore
    sys.settrace(blow.enter)
    try:
        yield blow
    finally:
        sys.settrace(before)
        sys.unraisablehook = hook
