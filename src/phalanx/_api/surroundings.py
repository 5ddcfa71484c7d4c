"""What the calling thread has around it: seen when it calls, and compared with what was when its session began."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
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
_OF_WORKERS = frozenset((here.VARIABLE, shares.VARIABLE))
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
        self._base = self._last = _Seen()
        if not forked:
            self._base = _Seen()
            self._base.filters = _USUAL_FILTERS if not sys.warnoptions else self._last.filters
            self._base.locale = "C" if _is_usual(self._last.locale) else self._last.locale
            self._base.context = Context()
            # What differs from the beginning differs from the last look too, or nobody would see it.
            if self._base.filters != self._last.filters or len(self._last.context):
                self._last = self._base
        self._record: Record | None = None
        self._number = 0
        self._locale_at = 0.0

    def look(self) -> Record | None:
        """What is otherwise now than in the beginning; the same object as long as nothing changes."""
        last = self._last
        now = monotonic()
        if (
            copy_context() == last.context
            and sys.path == last.path
            and warnings.filters == last.filters
            and _environment == last.environment
            and _directory() == last.directory
            and _setlocale(LC_NUMERIC) == last.numbers
            and (now < self._locale_at or _setlocale(LC_ALL) == last.locale)
        ):
            if now >= self._locale_at:
                self._locale_at = now + _LOCALE_SECONDS
            return self._record
        return self._look_closely()

    def _look_closely(self) -> Record | None:
        base, now = self._base, _Seen()
        self._number += 1
        record = Record(self._number)
        if now.directory != base.directory:
            record.directory = now.directory
        if now.path != base.path:
            record.path = now.path
        record.environment = _changes(base.environment, now.environment)
        if now.filters != base.filters:
            record.filters = now.filters
        if now.locale != base.locale:
            record.locale = now.locale
        record.variables = _variables(base.context, now.context)
        facts = (
            record.directory,
            record.path,
            record.environment,
            record.filters,
            record.locale,
            record.variables,
        )
        self._last, self._record = now, record if any(facts) else None
        return self._record


class ContextOnly:
    """The same within one process, where all else is common to all."""

    def __init__(self) -> None:
        self._last = Context()
        self._record: Record | None = None

    def look(self) -> Record | None:
        context = copy_context()
        if context != self._last:
            self._last = context
            values = {variable: value for variable, value in context.items() if variable not in _OF_WORKERS}
            self._record = Record(0) if values else None
            if self._record is not None:
                self._record.context = values
        return self._record


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
        return os.getcwd()  # noqa: PTH109 - asked at each call: the other takes five times as long
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
