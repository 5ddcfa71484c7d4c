"""One check for each option's value: what is wrong raises, and says what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from operator import index
from typing import Any, SupportsIndex

BACKENDS = ("processes", "threads", "serial")
CAPTURES = ("inherit", "forward", "discard")
ON_ERROR = ("raise", "collect", "skip")

_SIZE = re.compile(r"([0-9]*\.?[0-9]+) *([KMGT]?)(I?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def integer(name: str, value: Any) -> int:
    if type(value) is int:  # asking a protocol takes its time
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name} must be an integer, not {_show(value)}")
    return index(value)


def positive(name: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = integer(name, value)
        if number < 1:
            raise ValueError(f"{name} must be >= 1, not {number}; leave it out for the default")
        return number

    return check


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {_listed(choices)}, not {_show(value)}")
    if value not in choices:
        near = get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {_listed(choices)}, not {value!r}{hint}")
    return value


def _backend(value: Any) -> str:
    return choice("backend", value, BACKENDS)


def _initializer(value: Any) -> Callable[..., object]:
    if not callable(value):
        raise TypeError(f"initializer must be a callable, not {_show(value)}; its arguments go into initargs")
    checked: Callable[..., object] = value
    return checked


def _initargs(value: Any) -> tuple[Any, ...]:
    # A string is an iterable too, and ("abc") is the usual slip for ("abc",).
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"initargs must be a tuple of arguments, not {_show(value)}; "
            f"for a single one write initargs=(it,)"
        )
    return tuple(value)


def _progress(value: Any) -> bool | str | Callable[[int, int | None], object]:
    if not isinstance(value, bool | str) and not callable(value):
        raise TypeError(
            f"progress must be True, a title or a callable that takes (done, total), not {_show(value)}"
        )
    checked: bool | str | Callable[[int, int | None], object] = value
    return checked


def _seed(value: Any) -> tuple[int, ...]:
    numbers = [value] if isinstance(value, SupportsIndex) else value
    if isinstance(numbers, str | bytes) or not isinstance(numbers, Iterable):
        raise TypeError(f"seed must be an integer >= 0, or several of them, not {_show(value)}")
    checked = tuple(integer("seed", number) for number in numbers)
    if not checked or min(checked) < 0:
        raise ValueError(f"seed must be an integer >= 0, or several of them, not {_show(value)}")
    return checked


def environment(value: Any) -> dict[str, str]:
    """An environment, checked. `os.environ` would refuse it in the worker, where nobody is told why."""
    if not isinstance(value, Mapping):
        raise TypeError(f"worker_env must be a dict of text, or a function of the slot, not {_show(value)}")
    for key, each in value.items():
        if not isinstance(key, str) or not isinstance(each, str):
            raise TypeError(f"worker_env must hold nothing but text: {_show(key)} is set to {_show(each)}")
        if not key or "=" in key or "\0" in key + each:
            raise ValueError(f"worker_env has a name or a value that no environment can hold: {key!r}")
    return dict(value)


def _capture(value: Any) -> str:
    return choice("capture", value, CAPTURES)


def _worker_env(value: Any) -> Mapping[str, str] | Callable[[int], Mapping[str, str]]:
    if callable(value):
        function: Callable[[int], Mapping[str, str]] = value
        return function
    return environment(value)


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"name must be text, not {_show(value)}")
    return value


def _natural(name: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = integer(name, value)
        if number < 0:
            raise ValueError(f"{name} must be >= 0, not {number}")
        return number

    return check


def _seconds(name: str, zero: bool) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | SupportsIndex):
            raise TypeError(f"{name} must be a number of seconds, not {_show(value)}")
        seconds = float(value)
        if not isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
            bound = ">= 0" if zero else "> 0"
            raise ValueError(
                f"{name} must be a number of seconds {bound}, not {value}; leave it out for none"
            )
        return seconds

    return check


def _memory(name: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if match is None:
                raise ValueError(
                    f'{name} must be a number of bytes or text like "2GB" or "512MiB", not {value!r}'
                )
            number, unit, binary = match.groups()
            return max(1, int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.upper()]))
        size = integer(name, value)
        if size < 1:
            raise ValueError(f"{name} must be at least one byte, not {size}; leave it out for no limit")
        return size

    return check


def _retry_on(value: Any) -> tuple[type[BaseException], ...]:
    kinds = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise TypeError(f"retry_on must be an exception class or several in a tuple, not {_show(kind)}")
    return tuple(kinds)


def _on_error(value: Any) -> str:
    return choice("on_error", value, ON_ERROR)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "backend": _backend,
    "max_tasks_per_child": positive("max_tasks_per_child"),
    "initializer": _initializer,
    "initargs": _initargs,
    "name": _name,
    "chunksize": positive("chunksize"),
    "window": positive("window"),
    "progress": _progress,
    "timeout": _seconds("timeout", zero=False),
    "retries": _natural("retries"),
    "retry_on": _retry_on,
    "backoff": _seconds("backoff", zero=True),
    "crash_retries": _natural("crash_retries"),
    "on_error": _on_error,
    "max_memory": _memory("max_memory"),
    "memory_limit": _memory("memory_limit"),
    "seed": _seed,
    "worker_env": _worker_env,
    "blas_threads": positive("blas_threads"),
    "capture": _capture,
}


def _listed(choices: Sequence[str]) -> str:
    return ", ".join(map(repr, choices))


def _show(value: Any) -> str:
    """Type and, when it is short, value: a message must not hold somebody's whole array."""
    kind = type(value).__name__
    if isinstance(value, bool | int | float | str | bytes) and len(text := repr(value)) <= 40:
        return f"{text} ({kind})"
    return f"an object of type {kind}"
