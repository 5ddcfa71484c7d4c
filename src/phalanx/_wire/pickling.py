"""Objects to bytes and back: what may travel how, and what is said of what cannot.

Arguments and functions: plain pickle first, by reference; where pickle itself refuses, by value with
cloudpickle, which is imported only then. Results: plain pickle only, as in the standard library. Exceptions:
always arrive, as themselves where that is possible (`failures`).

*Pickle's own refusal* becomes `NotSendable` with the path to what is refused. *An exception raised by*
somebody's `__reduce__` or `__getstate__` arrives as itself, with the path as a note. The two are told apart
by the traceback: pickle is C, so an error of its own has no Python frame below our call.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import CodeType
from typing import Any, NoReturn

from phalanx._wire.by_value import by_value_pickler, dump_with, is_current, returning_pickler
from phalanx._wire.failures import decode_error, encode_error
from phalanx._wire.refusal import PROTOCOL as PROTOCOL
from phalanx._wire.refusal import explain_refusal, short_repr

__all__ = ["decode", "decode_error", "encode", "encode_by_value", "encode_error", "encode_result"]

decode = pickle.loads
"""The object made of `encode`'s bytes."""

_REFUSALS = (pickle.PicklingError, AttributeError, TypeError, RecursionError)
_MACHINERY = frozenset((__name__, "phalanx._wire.by_value", "pickle", "copyreg", "cloudpickle"))

Root = str | tuple[str, ...]


def encode(
    obj: Any,
    *,
    side: str = "argument",
    root: Root = "item",
    is_outdated: Callable[[Any], bool] = is_current,
) -> bytes:
    """`obj` as bytes, by value where it cannot go by reference.

    Raises `NotSendable` for pickle's refusal, or what the object's own methods raise. `side` ("argument",
    "function") and `root` are for the message; a tuple of names means that `obj` is a tuple of things with
    these names. `is_outdated`: what of `__main__` the other side has otherwise, and needs by value.
    """
    if is_outdated is not is_current:
        return encode_by_value(obj, side=side, root=root, is_outdated=is_outdated)
    try:
        return pickle.dumps(obj, PROTOCOL)
    except Exception as error:
        if not _is_refusal(error) or isinstance(error, RecursionError):
            _complain(error, obj, side, root, by_value_pickler())
    # From here on cloudpickle's word counts; that plain pickle had refused is no news to anybody.
    return encode_by_value(obj, side=side, root=root)


def encode_by_value(
    obj: Any,
    *,
    side: str = "function",
    root: Root = "fn",
    is_outdated: Callable[[Any], bool] = is_current,
) -> bytes:
    """`obj` as bytes that hold the code too, for where it cannot be imported."""
    return encode_with(partial(by_value_pickler(), is_outdated=is_outdated), obj, side=side, root=root)


def encode_with(pickler: Any, obj: Any, *, side: str, root: Root) -> bytes:
    """`obj` as bytes by a pickler of one's own, a subclass of that for code by value. Raises as `encode` does."""
    try:
        return dump_with(pickler, obj)
    except Exception as error:
        too_deep = error.__cause__  # cloudpickle says it in words of its own
        _complain(too_deep if isinstance(too_deep, RecursionError) else error, obj, side, root, pickler)


def encode_result(obj: Any) -> bytes:
    """A result as bytes; never by value, so that what is not sendable stays so wherever the code runs."""
    try:
        return pickle.dumps(obj, PROTOCOL)
    except Exception as error:
        if "cloudpickle" in sys.modules and _is_refusal(error):
            with suppress(*_REFUSALS):
                return dump_with(returning_pickler(), obj)
        _complain(error, obj, "result", "result", pickle.Pickler)


def _complain(error: Exception, obj: Any, side: str, root: Root, pickler: Any) -> NoReturn:
    """Raise what is to be said of an object that could not be pickled."""
    if isinstance(error, MemoryError):
        raise error  # no time to look for paths
    is_refusal = _is_refusal(error)  # asked first: looking for the path may raise the same object again
    path = explain_refusal(obj, error, root=root, pickler=pickler)
    if not is_refusal:
        _add_note(error, f"phalanx: raised while pickling {path} ({side})")
        raise error
    from phalanx._base.errors import NotSendable

    how = "is nested too deeply to" if isinstance(error, RecursionError) else "cannot"
    raise NotSendable(
        f"cannot send the {side}: {path} {how} be pickled: {error}",
        side=side,
        path=path,
        exc=short_repr(error),
        value=short_repr(obj),
    ) from error


def _is_refusal(error: BaseException) -> bool:
    """Whether pickle itself says no, rather than some method of the object."""
    if not isinstance(error, _REFUSALS):
        return False
    codes = _foreign_codes(error)
    if isinstance(error, RecursionError):
        # Depth can run out inside of anybody's method. It is the method's own doing if it called itself.
        return len(set(codes)) == len(codes)
    return not codes


def _foreign_codes(error: BaseException) -> list[CodeType]:
    """The code of each Python frame between our call and the error that is not pickle's own."""
    codes = []
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module not in _MACHINERY and not module.startswith("cloudpickle."):
            codes.append(trace.tb_frame.f_code)
        trace = trace.tb_next
    return codes


def _add_note(error: BaseException, note: str) -> None:
    # The same exception object may be raised again and again.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
