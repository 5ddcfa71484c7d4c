"""What the caller has around it, in the worker: directory, import path, environment, warnings, locale, context.

A worker is a process of its own, and what its initializer or a task changes there is its own. So only what the
caller has changed since the workers' session began is brought along, and only for the tasks called from then on: a
`Record` of that, which goes to each worker once, with the function. Tasks that come with the same record follow upon
each other at no cost; before one that comes with another, or with none, what the record changed is put back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from importlib import import_module, invalidate_caches
from typing import Any

from phalanx._wire.pickling import decode

Named = tuple[str, str, str]
"""A module, what a context variable is called there, and what it calls itself."""


class Record:
    """What is to be different. None, or empty, for what is as it was."""

    __slots__ = ("context", "directory", "environment", "filters", "locale", "number", "path", "variables")

    def __init__(self, number: int) -> None:
        self.number = number
        """Not used twice by one session."""
        self.directory: str | None = None
        self.path: list[str] | None = None
        self.environment: dict[str, str | None] = {}
        self.filters: list[Any] | None = None
        self.locale: str | None = None
        self.variables: list[tuple[Named, Any]] = []
        """Context variables and their values."""
        self.context: dict[ContextVar[Any], Any] = {}
        """The same where this record is, be it the process in which it was made, or a worker."""

    def is_empty(self) -> bool:
        """Whether nothing is different."""
        lists = self.directory, self.path, self.filters, self.locale
        return not self.environment and not self.variables and all(each is None for each in lists)

    def is_like(self, other: Record) -> bool:
        """Whether both hold the same. Values of variables are the same only if they are one object."""
        mine, others = ([(name, id(value)) for name, value in each.variables] for each in (self, other))
        return mine == others and all(
            getattr(self, name) == getattr(other, name)
            for name in ("directory", "path", "environment", "filters", "locale")
        )

    def __reduce__(self) -> Any:
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "context"}
        return _record_of, (facts,)


def _record_of(facts: dict[str, Any]) -> Record:
    record = Record(facts["number"])
    for name, value in facts.items():
        setattr(record, name, value)
    return record


class Surrounded:
    """`function`, called in surroundings of its own. Travels as any callable does, but arrives in them."""

    def __init__(
        self, function: Callable[..., Any], record: Record, pack: Callable[[Any], bytes] | None = None
    ) -> None:
        """`pack` makes bytes of the function when this is pickled."""
        self.function = function
        self.record = record
        self._pack = pack

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        record = self.record
        if record.number and (not _entered or _entered[0][0] != record.number):
            enter(record)
        if record.context:
            return copy_context().run(self._in_context, args, kwargs)
        return self.function(*args, **kwargs)

    def _in_context(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for variable, value in self.record.context.items():
            variable.set(value)
        return self.function(*args, **kwargs)

    def __reduce__(self) -> Any:
        assert self._pack is not None, "this was not meant to travel"
        return _arrive, (self.record, self._pack(self.function))


def _arrive(record: Record, packed: bytes) -> Surrounded:
    """What the function is made of may be found on the new path only."""
    enter(record)
    for name, value in record.variables:
        record.context[find_variable(*name)] = value
    return Surrounded(decode(packed), record)


def is_entered() -> bool:
    """Whether any record is in force."""
    return bool(_entered)


_entered: list[tuple[int, list[Callable[[], object]]]] = []
"""The number of the record that is in force, and what puts back what it changed."""


def stand(function: Any) -> None:
    """Have the surroundings that a function is to be called in."""
    if type(function) is not Surrounded:
        leave()
    elif not _entered or _entered[0][0] != function.record.number:
        enter(function.record)


def enter(record: Record) -> None:
    """Put in force what a record holds, instead of another."""
    leave()
    undo: list[Callable[[], object]] = []
    _entered.append((record.number, undo))
    try:
        _put_in_force(record, undo)
    except BaseException:
        leave()
        raise


def _put_in_force(record: Record, undo: list[Callable[[], object]]) -> None:
    if record.path is not None:
        undo.append(_set_path(record.path))
    if record.environment:
        undo.append(_set_environment(record.environment))
    if record.filters is not None:
        undo.append(_set_filters(record.filters))
    if record.locale is not None:
        undo.append(_set_locale(record.locale))
    if record.directory is not None:  # last, because it is what may fail
        undo.append(_set_directory(record.directory))


def leave() -> None:
    """Put back what was changed."""
    while _entered:
        _, undo = _entered[0]
        while undo:
            undo.pop()()
        _entered.pop()


def _set_directory(directory: str) -> Callable[[], object]:
    try:
        before: str | None = os.getcwd()  # noqa: PTH109 - without pathlib, which each new interpreter would load
    except FileNotFoundError:  # it was removed: nobody can go back there
        before = None
    os.chdir(directory)
    return lambda: None if before is None else os.chdir(before)


def _set_path(path: list[str]) -> Callable[[], object]:
    before = list(sys.path)
    sys.path[:] = path
    invalidate_caches()

    def put_back() -> None:
        sys.path[:] = before

    return put_back


def _set_environment(changes: dict[str, str | None]) -> Callable[[], object]:
    before = {name: os.environ.get(name) for name in changes}
    _change_environment(changes)
    return lambda: _change_environment(before)


def _change_environment(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _set_filters(filters: list[Any]) -> Callable[[], object]:
    import warnings

    before = list(warnings.filters)

    def put(these: list[Any]) -> None:
        warnings.filters[:] = these  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]

    put(filters)
    return lambda: put(before)


def _set_locale(name: str) -> Callable[[], object]:
    import locale

    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, name)
    return lambda: locale.setlocale(locale.LC_ALL, before)


def find_variable(module: str, name: str, title: str) -> ContextVar[Any]:
    """The variable of that module; made, where the module is a `__main__` that cannot have it yet."""
    home = import_module(module)
    found: ContextVar[Any] | None = getattr(home, name, None)
    if found is None:
        found = ContextVar(title)
        setattr(home, name, found)
    return found
