"""Where the thing is that pickle refuses: a path such as ``args[0].config.lock``, for the message.

The walk goes from an object to the first of its parts that cannot be pickled, and on from there. What the
parts are is asked of the object in pickle's own way (`__reduce_ex__`), and whether one can be pickled is
found by pickling it into a sink. Everything on the path so far counts as pickled already; so a part that
fails only because it refers back to its owner is not mistaken for the culprit, and a cycle ends the walk.

It runs once, for an error message, on objects that are broken in ways we cannot know. It is bounded in depth,
attempts and bytes, and whatever it runs into, it returns the path as far as it got.
"""

from __future__ import annotations

import copyreg
import pickle
import reprlib
import types
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

PROTOCOL = 5

# Out of thin air: a few seconds of work at worst.
_MAX_DEPTH = 50
_MAX_PROBES = 2_000
_MAX_BYTES = 256 << 20
# A buffer of more than a frame of pickle's comes as it is, whatever its size, and costs next to nothing.
_LARGE = 64 << 10

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 200
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 6


def short_repr(obj: object) -> str:
    """A shortened `repr` that never raises."""
    try:
        return _short.repr(obj)
    except Exception as error:
        return f"<{type(obj).__name__} whose repr raises {type(error).__name__}>"


def explain_refusal(
    obj: Any,
    error: BaseException,
    *,
    root: str | tuple[str, ...] = "item",
    pickler: Any = pickle.Pickler,
) -> str:
    """The path to the part of `obj` for which `pickler` raised `error`. Never raises.

    `root` names `obj`; a tuple of names means that `obj` is a tuple of things with these names.
    """
    walk = _Walk(pickler)
    try:
        if isinstance(root, str):
            walk.path = root
        elif (step := walk.first_refused([_Parts("{}", root, obj)])) is not None:
            walk.path, obj = step
        # All parts of something nested too deeply fail as well, down to where nobody would read the path.
        if walk.path and not isinstance(error, RecursionError):
            walk.go(obj)
    except Exception:
        pass
    return walk.path or ", ".join(root)  # without a path, `root` is a tuple


class _EnoughError(Exception):
    """The walk has cost as much as a message is worth."""


class _Sink:
    """A file that only counts."""

    def __init__(self) -> None:
        self.room = _MAX_BYTES

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.room -= min(size, _LARGE)
        if self.room < 0:
            raise _EnoughError
        return size


class _Parts:
    """Some parts of one object: values, and how each is reached; `form` is filled with its name."""

    __slots__ = ("form", "names", "values")

    def __init__(self, form: str, names: Sequence[Any], values: Sequence[Any]) -> None:
        self.form = form
        self.names = names
        self.values = values


class _Walk:
    """One search. `path` tells how far it got."""

    def __init__(self, pickler: Any) -> None:
        self.path = ""
        self._by_value = pickler is not pickle.Pickler
        self._pickler = pickler
        self._above: dict[int, tuple[int, Any]] = {}
        """What is on the path, in the form of a pickler's memo: what stands there counts as pickled."""
        self._sink = _Sink()
        self._probes = 0

    def go(self, obj: Any) -> None:
        """Follow refused parts until there is none."""
        for _ in range(_MAX_DEPTH):
            self._above[id(obj)] = (len(self._above), obj)
            step = self.first_refused(_parts(obj, self._by_value))
            if step is None:
                return
            self.path += step[0]
            obj = step[1]
        self.path += "..."

    def first_refused(self, groups: list[_Parts]) -> tuple[str, Any] | None:
        """(name, value) of the first part that is refused."""
        for group in groups:
            low, high = 0, len(group.values)
            if not high or not self._refuses(group.values):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if self._refuses(group.values[low:middle]):
                    high = middle
                else:
                    low = middle
            if not self._refuses(group.values[low:high]):
                continue  # they fail only together, or only sometimes
            name = group.names[low]
            return group.form.format(name if type(name) is str else short_repr(name)), group.values[low]
        return None

    def _refuses(self, values: Sequence[Any]) -> bool:
        self._probes += 1
        if self._probes > _MAX_PROBES:
            raise _EnoughError
        try:
            probe = self._pickler(self._sink, PROTOCOL)
            probe.memo = self._above
            probe.dump(list(values))
        except _EnoughError:
            raise
        except Exception:
            return True
        return False


def _parts(obj: Any, by_value: bool) -> list[_Parts]:
    """What pickle would go on to from `obj`, most telling first."""
    kind = type(obj)
    if kind is list or kind is tuple:
        return [_Parts("[{}]", range(len(obj)), obj)]
    if kind is dict:
        return _items(list(obj.items()))
    if kind is set or kind is frozenset:
        return [_Parts("<element {}>", list(obj), list(obj))]
    if kind is types.FunctionType:
        return _function_parts(obj) if by_value else []
    if kind is types.MethodType:
        return [_Parts(".{}", ("__self__", "__func__"), (obj.__self__, obj.__func__))]
    if kind is partial:
        return [_Parts(".{}", ("func", "args", "keywords"), (obj.func, obj.args, obj.keywords))]
    if isinstance(obj, type):
        return [_attributes(dict(vars(obj)))] if by_value else []
    return list(_reduced_parts(obj))


def _items(items: Sequence[tuple[Any, Any]]) -> list[_Parts]:
    keys = [key for key, _ in items]
    names = [short_repr(key) for key in keys]
    return [_Parts("[{}]", names, [value for _, value in items]), _Parts("<key {}>", names, keys)]


def _attributes(state: dict[Any, Any]) -> _Parts:
    return _Parts(".{}", list(state), list(state.values()))


def _function_parts(function: types.FunctionType) -> list[_Parts]:
    """What a function sent by value takes along, named as by `inspect.getclosurevars`."""
    nonlocals = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            nonlocals[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    names = _global_names(function.__code__)
    used = {name: value for name, value in function.__globals__.items() if name in names}
    return [
        *_named(".nonlocals[{}]", nonlocals),
        *_named(".globals[{}]", used),
        _attributes({"__defaults__": function.__defaults__, "__kwdefaults__": function.__kwdefaults__}),
        _attributes(vars(function)),
    ]


def _named(form: str, values: dict[str, Any]) -> Iterator[_Parts]:
    yield _Parts(form, list(map(repr, values)), list(values.values()))


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _reduced_parts(obj: Any) -> Iterator[_Parts]:
    """The parts of an instance, as its own `__reduce_ex__` (or a registered one) gives them."""
    registered = copyreg.dispatch_table.get(type(obj))
    reduced = registered(obj) if registered is not None else obj.__reduce_ex__(PROTOCOL)
    if isinstance(reduced, str):
        return
    make, args, state, listed, keyed = (*reduced, None, None, None)[:5]
    if state is not None:
        yield from _state_parts(obj, state)
    if listed is not None:
        values = list(listed)
        yield _Parts("[{}]", range(len(values)), values)
    if keyed is not None:
        yield from _items(list(keyed))
    yield from _argument_parts(obj, make, args)


def _state_parts(obj: Any, state: Any) -> Iterator[_Parts]:
    fields = getattr(type(obj), "__dataclass_fields__", {})
    if isinstance(state, dict):
        yield _attributes(state)
    elif fields and isinstance(state, list | tuple) and len(state) == len(fields):
        yield _Parts(".{}", list(fields), state)  # frozen with slots: a list of values
    elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        yield _attributes({**(state[0] or {}), **state[1]})  # __dict__ and slots
    else:
        yield _Parts(".{}", ("__getstate__()",), (state,))


def _argument_parts(obj: Any, make: Any, args: tuple[Any, ...]) -> Iterator[_Parts]:
    """What goes into the call that makes the object again."""
    if isinstance(obj, BaseException) and args == obj.args:
        yield _Parts(".args[{}]", range(len(args)), args)
    elif isinstance(obj, deque):
        return  # its items were listed
    elif make is copyreg.__newobj__:  # type: ignore[attr-defined]
        yield from _new_parts(obj, args[1:])
        yield _Parts(".{}", ("__class__",), args[:1])
        return
    else:
        yield _Parts(".__reduce__()[1][{}]", range(len(args)), args)
    yield _Parts(".{}", ("__class__" if make is type(obj) else "__reduce__()[0]",), (make,))


def _new_parts(obj: Any, args: tuple[Any, ...]) -> Iterator[_Parts]:
    fields = getattr(obj, "_fields", None)
    if isinstance(obj, tuple) and isinstance(fields, tuple) and len(fields) == len(args):
        yield _Parts(".{}", fields, args)  # a named tuple
    elif isinstance(obj, tuple | set | frozenset | list) and len(args) == 1:
        yield _Parts("{}", ("",), args)  # its own contents, as a plain one
    else:
        yield _Parts(".__getnewargs__()[{}]", range(len(args)), args)
