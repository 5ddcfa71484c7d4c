"""Exceptions on their way to the parent: each one arrives, as itself or as a substitute that tells all of it.

A report is a pickled tuple of plain data: the exception's own bytes (or None), what a substitute needs, its
notes, the traceback's text and our note. The exception inside is rebuilt by itself, so that one which cannot
be rebuilt harms nothing else. The sender tries this first: an exception whose `__init__` wants other
arguments than those it passed on pickles well and fails only there. The substitute is made on the receiving
side, so a worker never pays for importing our errors.
"""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from functools import partial
from typing import Any

from phalanx._wire.by_value import by_value_pickler, dump_with, returning_pickler
from phalanx._wire.refusal import PROTOCOL, explain_refusal, short_repr

_MAX_ATTRIBUTES = 12


def encode_error(error: BaseException, trace: str = "", note: str = "") -> bytes:
    """A report of `error`, with the text of its traceback and a note of ours. Always succeeds."""
    # BaseException, here and below: pickling, rebuilding and describing run somebody's methods, which may do
    # anything, and the item has failed already.
    try:
        payload, story, notes = _report(error)
    except BaseException as trouble:
        story = {"value": f"an exception of type {type(error).__name__}", "exc": type(trouble).__name__}
        payload, story["reason"], notes = None, "it cannot even be described", []
    return pickle.dumps((payload, story, notes, str(trace), str(note)), PROTOCOL)


def _report(error: BaseException) -> tuple[bytes | None, dict[str, str], list[str]]:
    story = {"value": short_repr(error), "kind": f"{type(error).__module__}.{type(error).__qualname__}"}
    try:
        payload = _dump(error)
    except BaseException as refusal:
        story["path"] = explain_refusal(error, refusal, root="exception", pickler=by_value_pickler())
        story["reason"], story["exc"] = "it cannot be pickled", short_repr(refusal)
    else:
        try:
            _rebuild(payload)
            return payload, story, _notes(error)
        except BaseException as refusal:
            story["reason"], story["exc"] = "it can be pickled but not rebuilt", short_repr(refusal)
    story["attributes"] = _describe_attributes(error)
    return None, story, _notes(error)


def decode_error(data: Any) -> tuple[BaseException, str, str]:
    """(exception, text of its traceback, note) of a report. Never raises."""
    try:
        payload, story, notes, trace, note = pickle.loads(data)
    except Exception as error:
        story = {"value": "an exception", "reason": "its report is damaged", "exc": short_repr(error)}
        payload, notes, trace, note = None, [], "", ""
    if payload is not None:
        try:
            rebuilt = _rebuild(payload)
            for text in notes:
                if text not in getattr(rebuilt, "__notes__", ()):  # a `__reduce__` of its own loses them
                    rebuilt.add_note(text)
            return rebuilt, trace, note
        except Exception as error:
            story["reason"] = "it cannot be rebuilt in this process"
            story["exc"] = short_repr(error)
    return _substitute(story, notes, trace), trace, note


def _dump(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error, PROTOCOL)
    except Exception:
        # Of a class that the parent sent by value, or one that only this process knows.
        with suppress(Exception):
            if "cloudpickle" in sys.modules:
                return dump_with(returning_pickler(), error)
        return dump_with(partial(by_value_pickler(), at_home=False), error)


def _rebuild(payload: bytes) -> BaseException:
    rebuilt = pickle.loads(payload)
    if not isinstance(rebuilt, BaseException):
        raise TypeError(f"it becomes an object of type {type(rebuilt).__name__}")
    return rebuilt


def _substitute(story: dict[str, str], notes: list[str], trace: str) -> BaseException:
    from phalanx._base.errors import NotSendable

    substitute = NotSendable(
        f"{story['value']} was raised but could not be sent: {story['reason']}: {story['exc']}",
        side="exception",
        path=story.get("path", "exception"),
        exc=story["exc"],
        value=story["value"],
        traceback=trace,
    )
    if "kind" in story:
        substitute.add_note(f"phalanx: stands for an exception of type {story['kind']}")
    if story.get("attributes"):
        substitute.add_note(f"phalanx: its attributes: {story['attributes']}")
    for text in notes:
        substitute.add_note(text)
    return substitute


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", ())
    return [str(note) for note in notes if type(note) is str] if isinstance(notes, list | tuple) else []


def _describe_attributes(error: BaseException) -> str:
    shown = [f"{name}={short_repr(value)}" for name, value in vars(error).items() if name != "__notes__"]
    return ", ".join(shown[:_MAX_ATTRIBUTES])
