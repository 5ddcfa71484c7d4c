"""What the calling thread has around it: seen when it calls, and compared with what was when its session began."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from itertools import count
from locale import LC_ALL, LC_NUMERIC
from locale import setlocale as _setlocale
from time import monotonic
from typing import Any

from phalanx._base.options import Options
from phalanx._platform import shares
from phalanx._worker import here
from phalanx._worker.surroundings import Named, Record

# To ask for all of the locale takes as long as for all the rest, 1.1 us. So that of numbers is asked for each time,
# which whoever sets the locale mostly sets with the others, and the others when as many seconds have passed.
_LOCALE_SECONDS = 0.001
# What a new interpreter has that was given no -W (CPython, `_warnings.c`, `init_filters`).
_USUAL_FILTERS: list[Any] = [
    ("default", None, DeprecationWarning, "__main__", 0),
    ("ignore", None, DeprecationWarning, None, 0),
    ("ignore", None, PendingDeprecationWarning, None, 0),
    ("ignore", None, ImportWarning, None, 0),
    ("ignore", None, ResourceWarning, None, 0),
]
# What says which worker a thread is: that of the caller is not that of its tasks.
_OF_WORKERS = frozenset((here.OF_THREAD, shares.OF_THREAD))
_getcwd = os.getcwd  # asked at each call: `Path.cwd` takes five times as long
_environment: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]


class _Seen:
    """All of it, at one moment."""

    def __init__(self) -> None:
        self.directory = _directory()
        self.environment = dict(_environment)
        self.path = list(sys.path)
        self.filters: list[Any] = list(warnings.filters)
        self.locale = _setlocale(LC_ALL)
        self.numbers = _setlocale(LC_NUMERIC)
        self.context = copy_context()


class Surroundings:
    """Of the users of one session."""

    def __init__(self, *, forked: bool) -> None:
        """`forked`: the workers begin with all that is there now; otherwise with what a new interpreter has."""
        last = self._base = _Seen()
        if not forked:
            self._base = _Seen()
            self._base.filters = _USUAL_FILTERS if not sys.warnoptions else last.filters
            self._base.locale = "C" if _is_usual(last.locale) else last.locale
            self._base.context = Context()
            # What differs from the beginning differs from the last look too, or nobody would see it.
            if self._base.filters != last.filters or len(last.context):
                last = self._base
        self._state: tuple[_Seen, Record | None] = last, None
        """What was seen last, and what came of it: one store, because several threads may look."""
        self._numbers = count(1)
        self._locale_at = 0.0

    def look(self) -> Record | None:
        """What is otherwise now than in the beginning; the same object as long as nothing changes."""
        last, record = self._state
        try:
            if (
                copy_context() == last.context
                and sys.path == last.path
                and warnings.filters == last.filters
                and _environment == last.environment
                and _getcwd() == last.directory
                and _setlocale(LC_NUMERIC) == last.numbers
                and (monotonic() < self._locale_at or self._has_locale(last.locale))
            ):
                return record
        except Exception:
            # There is no directory any more, or values of variables cannot be compared: arrays, say.
            return self._look_closely(record)
        return self._look_closely(record)

    def _has_locale(self, locale: str) -> bool:
        self._locale_at = monotonic() + _LOCALE_SECONDS
        return _setlocale(LC_ALL) == locale

    def _look_closely(self, before: Record | None) -> Record | None:
        base, now = self._base, _Seen()
        record = Record(0)
        if now.directory != base.directory:
            record.directory = now.directory
        if now.path != base.path:
            record.path = now.path
        if now.environment != base.environment:
            record.environment = _changes(base.environment, now.environment)
        if now.filters != base.filters:
            record.filters = now.filters
        if now.locale != base.locale:
            record.locale = now.locale
        record.variables = _variables(base.context, now.context)
        found: Record | None = record
        if record.is_empty():
            found = None
        elif before is not None and record.is_like(before):
            found = before  # threads with contexts of their own look in turn
        else:
            record.number = next(self._numbers)
        self._state = now, found
        return found


class ContextOnly:
    """The same within one process, where all else is common to all."""

    def __init__(self) -> None:
        self._state: tuple[Context, Record | None] = Context(), None

    def look(self) -> Record | None:
        context = copy_context()
        last, record = self._state
        if not _is_same(context, last):
            values = {variable: value for variable, value in context.items() if variable not in _OF_WORKERS}
            record = None
            if values:
                record = Record(0)
                record.context = values
            self._state = context, record
        return record


def _is_same(one: Context, other: Context) -> bool:
    try:
        return one == other
    except Exception:  # values that cannot be compared, and are not the same: arrays, say
        return False


def looking_around(options: Options) -> Callable[[], Record | None]:
    """What looks, for one session that begins now: what its users have around them that its workers have not."""
    if options.backend == "serial":  # which calls where its user is
        return _nothing
    if options.backend == "threads":
        return ContextOnly().look
    method = options.start_method or multiprocessing.get_start_method()
    return Surroundings(forked=method == "fork").look


def _nothing() -> None:
    return None


def _directory() -> str | None:
    try:
        return _getcwd()
    except OSError:  # it was removed
        return None


def _is_usual(locale: str) -> bool:
    """Whether this is what an interpreter sets for itself: the characters, and nothing else."""
    parts = locale.split(";")
    return len(parts) == 1 or all(part.startswith("LC_CTYPE=") or part.endswith("=C") for part in parts)


def _changes(before: dict[Any, Any], now: dict[Any, Any]) -> dict[str, str | None]:
    changed = {key: now.get(key) for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    return {os.fsdecode(key): None if value is None else os.fsdecode(value) for key, value in changed.items()}


def _variables(before: Context, now: Context) -> list[tuple[Named, Any]]:
    """Those that have another value, can be found by name on the other side, and whose value can be sent."""
    found: list[tuple[Named, Any]] = []
    missing = object()
    for variable, value in now.items():
        if before.get(variable, missing) is value:
            continue
        name = _find(variable)
        if name is not None and _can_be_sent(value):
            found.append((name, value))
    return found


_names: dict[ContextVar[Any], Named | None] = {}


def _find(variable: ContextVar[Any]) -> Named | None:
    """The module that has this variable, and its name there."""
    if variable not in _names:
        _names[variable] = None
        for module, content in list(sys.modules.items()):
            if module == "__mp_main__" or variable in _OF_WORKERS:
                continue
            for name, each in list(getattr(content, "__dict__", {}).items()):
                if each is variable:
                    _names[variable] = module, name, variable.name
    return _names[variable]


def _can_be_sent(value: Any) -> bool:
    try:
        pickle.dumps(value, 5)
    except Exception:
        return False
    return True
