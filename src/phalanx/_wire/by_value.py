"""Code by value: the pickler for functions and classes that the other side cannot import.

What stands in `__main__` under its own name goes by that name all the same: workers have it (or ask for it), with
what their initializer has made of it. By value goes what has no name there, and what `is_outdated` says that the
workers have otherwise: it takes its place in their `__main__`.

A function that goes by value brings the globals that it uses, and works with those of its module there, not with a
copy: of an imported module they are as they are there, of `__main__` as they are here, except for what an initializer
has set there.

Relies on the shape of what cloudpickle's reducers return (3.0 and later): make, arguments, state, two times None, and
a function that sets the state.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable
from functools import cache
from types import FunctionType
from typing import Any, ClassVar, NoReturn

from phalanx._wire.refusal import PROTOCOL

MAINS = frozenset(("__main__", "__mp_main__"))
"""What `__main__` is called in the process that was started by the user, and in started workers."""

_ABSENT = object()
_before: dict[str, Any] = {}
"""In a worker: the names of `__main__` as they were before the initializer ran."""


def remember_main() -> None:
    """In a worker that is about to run its initializer: what that sets shall stay."""
    _before.update(vars(sys.modules["__main__"]))


def is_named(obj: Any) -> bool:
    """Whether this function or class is what its name in `__main__` stands for."""
    if getattr(obj, "__module__", None) not in MAINS:
        return False
    found: Any = sys.modules.get("__main__")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def is_current(obj: Any) -> bool:
    """Nothing that workers have is known to be outdated."""
    return False


def dump_with(pickler: Any, obj: Any, *options: Any) -> bytes:
    """The bytes that a pickler makes of `obj`."""
    file = io.BytesIO()
    pickler(file, PROTOCOL, *options).dump(obj)
    return file.getvalue()


@cache
def by_value_pickler() -> Any:
    """cloudpickle's pickler, less what would silently arrive as something else. Imported on first use.

    To be called with a file, a protocol and perhaps `is_outdated`, which is asked of what `__main__` defines. Not
    `at_home`: functions come with globals of their own, as from a worker, which must change nothing in its parent.
    """
    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        # cloudpickle sends the contents of an open file, and a memoryview as bytes.
        dispatch_table: ClassVar[Any] = ChainMap(
            {io.TextIOWrapper: _refuse, memoryview: _refuse}, cloudpickle.Pickler.dispatch_table
        )

        def __init__(
            self,
            file: Any,
            protocol: int,
            buffer_callback: Callable[[Any], object] | None = None,
            is_outdated: Callable[[Any], bool] = is_current,
            at_home: bool = True,
        ) -> None:
            super().__init__(file, protocol, buffer_callback)
            self._at_home = at_home
            self._is_outdated = is_outdated
            self._homes: dict[int, Home] = {}

        def reducer_override(self, obj: Any) -> Any:
            is_code = isinstance(obj, FunctionType | type)
            named = is_code and is_named(obj)
            if named and not self._is_outdated(obj):
                return obj.__qualname__
            reduced = super().reducer_override(obj)
            if not is_code or type(reduced) is not tuple or len(reduced) != 6:
                return reduced
            make, args, state, _, _, settle = reduced
            if type(obj) is FunctionType and self._at_home and (home := self._home(obj)) is not None:
                code, _, *rest = args
                make, args, settle = _make_function, (code, home, *rest), _settle_function
            if named:
                state, settle = (settle, state), _take_place
            return make, args, state, None, None, settle

        def _home(self, function: FunctionType) -> Home | None:
            """Where its globals are; one object for all functions of a module, so that it goes once."""
            names = function.__globals__
            module = sys.modules.get(names.get("__name__", ""))
            if module is None or vars(module) is not names:
                return None
            return self._homes.get(id(names)) or self._homes.setdefault(id(names), Home(names))

    return ByValue


@cache
def returning_pickler() -> Any:
    """Plain pickle, but for classes that have come by value: the process that sent them knows which is meant."""
    from cloudpickle import cloudpickle

    known = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS

    class Returning(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            number = known.get(obj) if isinstance(obj, type) else None
            return NotImplemented if number is None or is_named(obj) else (_class_by_number, (number,))

    return Returning


def _class_by_number(number: str) -> Any:
    from cloudpickle import cloudpickle

    return cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID[number]


class Home:
    """The globals of a module, which become those of the same module on the other side."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._facts = {
            key: names[key] for key in ("__name__", "__package__", "__path__", "__file__") if key in names
        }

    def __reduce__(self) -> Any:
        return _find_home, (self._facts,)


def _find_home(facts: dict[str, Any]) -> dict[str, Any]:
    """The globals of the module, or new ones where it cannot be imported."""
    from importlib import import_module

    name = facts["__name__"]
    try:
        return vars(import_module("__main__" if name in MAINS else name))
    except ImportError:
        return dict(facts)


def _make_function(code: Any, names: dict[str, Any], *rest: Any) -> FunctionType:
    names.setdefault("__builtins__", __builtins__)
    return FunctionType(code, names, *rest)


def _settle_function(function: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The state of a function that has been made among the globals of its home."""
    from cloudpickle.cloudpickle import _function_setstate

    brought, home = state[1]["__globals__"], function.__globals__
    state[1]["__globals__"] = {}
    is_main = home is vars(sys.modules["__main__"])
    for name, value in brought.items():
        if is_main:
            _update_main(name, value)
        else:
            home.setdefault(name, value)
    _function_setstate(function, state)


def _update_main(name: str, value: Any) -> None:
    names = vars(sys.modules["__main__"])
    if not _before or names.get(name, _ABSENT) is _before.get(name, _ABSENT):
        names[name] = value
        if _before:
            _before[name] = value


def _take_place(obj: Any, state: tuple[Callable[[Any, Any], Any], Any]) -> None:
    """Set the state, and be from now on what the name in `__main__` stands for."""
    settle, inner = state
    settle(obj, inner)
    if "." not in obj.__qualname__:
        _update_main(obj.__qualname__, obj)


class Accompanied:
    """A thing that goes together with what it uses of `__main__` and workers have otherwise."""

    def __init__(self, thing: Any, company: Iterable[Any]) -> None:
        self._parts = [*company, thing]

    def __reduce__(self) -> Any:
        return _last, (self._parts,)


def _last(parts: list[Any]) -> Any:
    return parts[-1]


def _refuse(obj: Any) -> NoReturn:
    raise TypeError(f"cannot pickle {type(obj).__name__!r} object")
