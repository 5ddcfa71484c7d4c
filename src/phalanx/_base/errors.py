"""Every error of ours, and the record that stands in an item's place when errors are collected.

The one module of `_base` that is not free: the standard library's classes that ours must also be live in
`concurrent.futures.process` and `multiprocessing.pool`, 20 to 40 ms of imports. Loaded on first use only.

All of them take one message; facts are attributes, given by keyword. Facts are plain data (numbers, text),
so that an error can always be pickled; the exception behind an error is its `__cause__`, as everywhere.
"""

from __future__ import annotations

import signal as _signals
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import TimeoutError as _MultiprocessingTimeout
from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]
from pickle import PicklingError
from typing import Any, Self, TypedDict, Unpack

__all__ = [
    "MemoryLimit",
    "NotSendable",
    "PhalanxError",
    "PoolClosed",
    "TaskError",
    "TaskTimeout",
    "WorkerLost",
    "WorkerStartFailed",
    "AbandonedLock",
    "describe_exit",
]


class WhichItem(TypedDict, total=False):
    """The facts that every error can carry."""

    index: int | None
    arguments: str | None
    pid: int | None
    slot: int | None
    bytes_in: int | None


class PhalanxError(Exception):
    """Base of all errors of this library.

    `index` is the item's place in its call, `arguments` is their shortened text, `bytes_in` how many bytes were
    sent for them (as a pickle, shared memory included), `pid` and `slot` name the worker. A fact that is not
    known is None.
    """

    def __init__(self, message: str, **item: Unpack[WhichItem]) -> None:
        # Not super(): the standard bases further along want arguments of their own.
        self.args = (message,)
        unknown = item.keys() - WhichItem.__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__}() got unknown facts: {', '.join(sorted(unknown))}")
        self.index = item.get("index")
        self.arguments = item.get("arguments")
        self.pid = item.get("pid")
        self.slot = item.get("slot")
        self.bytes_in = item.get("bytes_in")

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError and MaybeEncodingError rebuild in ways of their own, so none of that is inherited.
        facts = dict(self.__dict__)
        if "__notes__" in facts:
            facts["__notes__"] = list(facts["__notes__"])  # a note on the copy is not one on the original
        return type(self), self.args, facts

    def __copy__(self) -> Self:
        """A second error with the same facts and cause, so that no two futures share one object."""
        make, args, facts = self.__reduce__()
        twin: Self = make(*args)
        twin.__dict__.update(facts)
        twin.__cause__ = self.__cause__
        twin.__context__ = self.__context__
        twin.__suppress_context__ = self.__suppress_context__
        return twin


class WorkerLost(PhalanxError, BrokenProcessPool):
    """The process that was running this item died. The pool is whole and keeps working.

    `reason` tells the end in words ("SIGKILL; the kernel's OOM killer ran"); `exitcode` and `signal` are its
    numbers, whichever applies. `stderr` holds the worker's last lines. `stack` is where a fatal signal struck,
    most recent call last: the user's own frames in each thread that ran any. What is not known is None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        exitcode: int | None = None,
        signal: int | None = None,
        stderr: str | None = None,
        stack: str | None = None,
        **item: Unpack[WhichItem],
    ) -> None:
        super().__init__(message, **item)
        self.reason = reason
        self.exitcode = exitcode
        self.signal = signal
        self.stderr = stderr
        self.stack = stack


class TaskTimeout(PhalanxError, TimeoutError, _MultiprocessingTimeout):
    """The item ran longer than `limit` seconds; `stack` tells where it was."""

    def __init__(
        self,
        message: str,
        *,
        limit: float | None = None,
        stack: str | None = None,
        **item: Unpack[WhichItem],
    ) -> None:
        super().__init__(message, **item)
        self.limit = limit
        self.stack = stack


class MemoryLimit(PhalanxError, MemoryError):
    """The item took its worker past the hard memory limit; `limit` and `seen` are bytes."""

    def __init__(
        self,
        message: str,
        *,
        limit: int | None = None,
        seen: int | None = None,
        **item: Unpack[WhichItem],
    ) -> None:
        super().__init__(message, **item)
        self.limit = limit
        self.seen = seen


class NotSendable(PhalanxError, PicklingError, MaybeEncodingError):  # type: ignore[misc]
    """Something cannot travel between processes, because pickle refuses it.

    `side` says what it was: "argument", "function", "result" or "exception". `path` leads to the offending
    part (``args[0].config.lock``). `exc` and `value` are those of `multiprocessing.pool.MaybeEncodingError`:
    the text of pickle's refusal and of the thing refused. For an exception that could not travel, `traceback`
    is its text.
    """

    def __init__(
        self,
        message: str,
        *,
        side: str | None = None,
        path: str | None = None,
        exc: str | None = None,
        value: str | None = None,
        traceback: str | None = None,
        **item: Unpack[WhichItem],
    ) -> None:
        super().__init__(message, **item)
        self.side = side
        self.path = path
        self.exc: str | None = exc
        self.value: str | None = value
        self.traceback = traceback


class WorkerStartFailed(PhalanxError, BrokenProcessPool):
    """Workers cannot be started, or the initializer failed.

    `cause` is the failure in words (the exception itself is `__cause__`), `stderr` the worker's last lines.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        exitcode: int | None = None,
        stderr: str | None = None,
        **item: Unpack[WhichItem],
    ) -> None:
        super().__init__(message, **item)
        self.cause = cause
        self.exitcode = exitcode
        self.stderr = stderr


class AbandonedLock(RuntimeWarning):
    """The last holder of a lock has died without giving it back, and the next one has it now.

    `pid` and `name` (its end) are those of the process that died; None if it left no trace.
    """

    def __init__(self, message: str, *, pid: int | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.name = name


class PoolClosed(PhalanxError, ValueError, RuntimeError):
    """The pool or executor was closed before this call."""


@dataclass(frozen=True, slots=True)
class TaskError:
    """What stands in a failed item's place when errors are collected."""

    index: int
    exception: BaseException
    arguments: str
    tries: int = 1


# What a program can die of, where the signal's name alone says little to most people.
_SIGNALS_IN_WORDS = {
    "SIGABRT": "C code gave up and called abort()",
    "SIGALRM": "an alarm that nobody handles",
    "SIGBUS": "a file or device that memory was mapped from is shorter than it was, or failed",
    "SIGFPE": "arithmetic error in C code, such as a division of integers by zero",
    "SIGHUP": "its terminal was closed",
    "SIGILL": "illegal instruction in C code, perhaps compiled for another processor",
    "SIGPIPE": "it wrote to a pipe that nobody reads",
    "SIGSEGV": "segmentation fault in C code",
    "SIGSYS": "a system call that is forbidden here",
    "SIGXCPU": "its limit of processor time was reached",
    "SIGXFSZ": "its limit for the size of files was reached",
}


def describe_exit(status: int | None, oom_killed: bool = False) -> str:
    """A process's end in words. `status`: its exit code, or minus the number of the signal that killed it."""
    if status is None:
        return "unknown: who should have collected the exit status was killed, or somebody else was faster"
    if status >= 0:
        return f"exit code {status} (os._exit or sys.exit?)"
    try:
        name = _signals.Signals(-status).name
    except ValueError:  # between SIGRTMIN and SIGRTMAX the numbers have no names
        return f"signal {-status}"
    if oom_killed and name == "SIGKILL":
        return "SIGKILL; the kernel's OOM killer ran"
    return f"{name} ({_SIGNALS_IN_WORDS[name]})" if name in _SIGNALS_IN_WORDS else name


for _public in (
    AbandonedLock,
    PhalanxError,
    WorkerLost,
    TaskTimeout,
    MemoryLimit,
    NotSendable,
    WorkerStartFailed,
    PoolClosed,
    TaskError,
):
    _public.__module__ = "phalanx.errors"
