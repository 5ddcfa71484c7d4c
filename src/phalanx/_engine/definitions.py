"""What `__main__` defines: as the workers have it, and as it is.

Functions and classes of `__main__` go by name. That is right as long as the name stands for the same thing on both
sides: workers have what was there when their session began (forked then, or made by running the program's file, or
asked for one by one: see `_worker/wanting`). Where a program has no end but a prompt, things are defined anew all the
time; what has changed since goes by value, and with it what it calls. A class or function is compared by identity.

Values are not compared: a function that goes by name works with what the worker has, as in the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any
from weakref import ref

from phalanx._wire.by_value import MAINS, Accompanied, is_named
from phalanx._wire.failures import encode_error
from phalanx._wire.frames import ERROR, SKIPPED, VALUE, Piece
from phalanx._wire.pickling import encode, encode_by_value

# How many things are looked at in search of what a function calls: more than anybody defines at a prompt.
_MOST = 10_000


class Definitions:
    """Of one session."""

    def __init__(self) -> None:
        self._had = {name: ref(obj) for name, obj in _defined()}
        self._new: dict[str, ref[Any]] = {}

    @property
    def are_outdated(self) -> bool:
        """Whether there is anything that workers do not have as it is."""
        return bool(self._new)

    def look(self) -> bool:
        """See what is there by now. Whether anything has changed since the last look."""
        had, before = self._had, self._new
        self._new = {name: ref(obj) for name, obj in _defined() if name not in had or had[name]() is not obj}
        return self._new.keys() != before.keys() or any(
            before[name]() is not new() for name, new in self._new.items()
        )

    def is_outdated(self, obj: Any) -> bool:
        """Whether workers have something else, or nothing, by the name of this function or class of `__main__`."""
        name = obj.__qualname__.partition(".")[0]
        had = self._had.get(name)
        return had is None or had() is not vars(sys.modules["__main__"]).get(name)

    def with_company(self, thing: Any) -> Any:
        """The same, together with whatever is outdated of what it uses."""
        if not self.are_outdated:
            return thing
        company = [each for each in _reached(thing) if each is not thing and self.is_outdated(each)]
        return Accompanied(thing, company) if company else thing

    def answer(self, name: str) -> Piece:
        """To a worker that lacks this name: what it stood for when the session began, or else what it stands for."""
        had = self._had.get(name, _nothing)()
        found = vars(sys.modules["__main__"]).get(name) if had is None else had
        if found is None:
            return SKIPPED, b""
        try:
            if not isinstance(found, FunctionType | type):
                return VALUE, encode(found, root=name)
            wanted = partial(self._is_wanted, name)
            return VALUE, encode_by_value(found, root=name, is_outdated=wanted)
        except (
            Exception
        ) as error:  # not an interrupt, which is not meant for the worker: it waits until the next try
            return ERROR, encode_error(error)

    def _is_wanted(self, name: str, obj: Any) -> bool:
        """With all that is part of it."""
        return obj.__qualname__.partition(".")[0] == name or self.is_outdated(obj)


def _nothing() -> None:
    return None


def _defined() -> Iterator[tuple[str, Any]]:
    """The functions and classes of `__main__` that go by their own names."""
    main = sys.modules.get("__main__")
    for name, obj in list(vars(main).items()) if main is not None else ():
        is_code = type(obj) is FunctionType or issubclass(type(obj), type)
        if is_code and obj.__module__ in MAINS and obj.__qualname__ == name:
            yield name, obj


def _reached(thing: Any) -> Iterator[Any]:
    """The named functions and classes of `__main__` that are used by something."""
    waiting, seen = [thing], {id(thing)}
    while waiting and len(seen) < _MOST:
        each = waiting.pop()
        if isinstance(each, FunctionType | type) and is_named(each):
            yield each
        for part in _parts(each):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)


def _parts(thing: Any) -> list[Any]:
    """What of a thing may be, or lead to, code of `__main__`."""
    if isinstance(thing, FunctionType):
        names = thing.__globals__
        used = [names[name] for name in _names_in(thing.__code__) if name in names]
        cells = [cell.cell_contents for cell in thing.__closure__ or () if cell != type(cell)()]
        return [*_code_in(used), *cells, *(thing.__defaults__ or ()), *vars(thing).values()]
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, type):
        return [*vars(thing).values(), *thing.__bases__] if thing.__module__ in MAINS else []
    if isinstance(thing, staticmethod | classmethod):
        return [thing.__func__]
    if isinstance(thing, property):
        return [thing.fget, thing.fset, thing.fdel]
    if type(thing).__module__.startswith("phalanx._worker."):  # our wrappers of functions
        return [thing.function]
    return [type(thing)] if type(thing).__module__ in MAINS else []


def _code_in(things: list[Any]) -> list[Any]:
    return [each for each in things if callable(each) or type(each).__module__ in MAINS]


def _names_in(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant)
    return names
