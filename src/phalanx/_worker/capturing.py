"""What tasks print and log, on its way to the parent (option `capture`).

Prints come as whole lines, in one message each, before the outcome of the item that printed them: they take the same
channel. What does not end with a line's end waits for it, at most until the batch is done. Log records are made
here, by the levels that the parent had, and handled there: no handler of this process sees them.

Only what goes through Python's streams: programs that a task starts, and libraries in C, write to the descriptors,
which stay as they are.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

from phalanx._base.output import RECORD, STDERR, STDOUT
from phalanx._wire import frames
from phalanx._worker import here

# Of what nobody ends with a new line, so much is kept at most, as in a file's buffer.
_LONGEST_LINE = io.DEFAULT_BUFFER_SIZE
_PLAIN = frozenset((int, float, str, bool, type(None)))

Say = Callable[[int, Any], object]


class Captured:
    """The streams and the log of this process, captured."""

    def __init__(self, send: Callable[[bytes], object], capture: tuple[str, dict[str, int]]) -> None:
        """`capture`: what to do, and the levels of the parent's loggers."""
        how, levels = capture
        self._send = send
        say: Say = self._say if how == "forward" else _drop
        self._streams = [
            Stream(say, STDOUT, sys.stdout),
            Stream(say, STDERR, sys.stderr),
        ]
        sys.stdout, sys.stderr = self._streams
        _capture_log(say, levels)

    def _say(self, kind: int, content: Any) -> None:
        self._send(frames.pack_frame(frames.OUTPUT, pickle.dumps((kind, content), 5)))

    def finish_lines(self) -> None:
        """Send what waits for the end of its line."""
        for stream in self._streams:
            stream.finish_lines()


def _drop(kind: int, content: Any) -> None:
    return None


class Stream(io.TextIOBase):
    """Text that goes to the parent, line by line. What is asked of the descriptor is answered by what was there."""

    def __init__(self, say: Say, kind: int, before: Any) -> None:
        self._say = say
        self._kind = kind
        self._before = before
        # Of each thread its own: their lines shall not be mixed.
        self._begun: dict[int, list[str]] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._before, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        found: str | None = getattr(self._before, "errors", None)
        return found

    @property
    def buffer(self) -> Any:
        return self._before.buffer

    def fileno(self) -> int:
        return int(self._before.fileno())

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        begun = self._begun.setdefault(threading.get_ident(), [])
        begun.append(text)
        # `print` writes the end of its last line by itself: several lines of one print are to stay together.
        if text.endswith("\n"):
            self._send(begun)
        elif sum(map(len, begun)) > _LONGEST_LINE:
            whole, end, rest = "".join(begun).rpartition("\n")
            begun[:] = [whole + end or rest]
            self._send(begun)
            if end and rest:
                begun.append(rest)
        return len(text)

    def finish_lines(self) -> None:
        for thread in list(self._begun):
            begun = self._begun.pop(thread)
            if begun:
                begun.append("\n")
                self._send(begun)

    def _send(self, parts: list[str]) -> None:
        text = "".join(parts)
        parts.clear()
        self._say(self._kind, text)


def _capture_log(say: Say, levels: dict[str, int]) -> None:
    import logging

    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    # A logger's handlers are the last of its doings: levels, filters and the making of the record stay as they are.

    def hand_over(logger: logging.Logger, record: logging.LogRecord) -> None:
        say(RECORD, _facts_of(record))

    logging.Logger.callHandlers = hand_over  # type: ignore[method-assign,assignment]


def _facts_of(record: Any) -> dict[str, Any]:
    """A log record as plain data, with the item and the worker that it comes from."""
    import logging

    facts = dict(record.__dict__)
    facts["msg"], facts["args"] = record.getMessage(), None
    if record.exc_info:
        facts["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        facts["exc_info"] = None
    mine = here.facts()
    facts["task_index"], facts["slot"] = mine.index(), mine.slot
    return {name: value if type(value) in _PLAIN else repr(value) for name, value in facts.items()}
