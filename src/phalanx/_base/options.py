"""Options: one table of what exists and where it may be given, one check for each.

An option is checked once, in the call that gives it. What is wrong raises there: an unknown name as
TypeError with the nearest right spelling, a wrong type as TypeError, a wrong value as ValueError, all saying
what to write instead. Pure: which start methods this system has is told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Any

from phalanx._base.checks import CHECKS, choice, integer

START_METHODS = ("fork", "forkserver", "spawn")


class Scope(Enum):
    """Where options are given."""

    POOL = "pool"
    """To a new pool or executor, or to a call that makes its own workers: everything."""
    CALL = "call"
    """To calls on workers that exist already: nothing that shapes the workers."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a user chose; None means that the library chooses."""

    size: int | None = None
    """Number of workers: `workers`, `max_workers` or `processes`, whichever the caller's signature says."""
    backend: str = "processes"
    start_method: str | None = None
    max_tasks_per_child: int | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    name: str | None = None
    chunksize: int | None = None
    window: int | None = None
    progress: bool | str | Callable[[int, int | None], object] = False
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = ()
    backoff: float = 0.0
    crash_retries: int = 0
    on_error: str = "raise"
    max_memory: int | None = None
    memory_limit: int | None = None
    seed: tuple[int, ...] | None = None
    worker_env: Mapping[str, str] | Callable[[int], Mapping[str, str]] | None = None
    blas_threads: int | None = None
    capture: str = "inherit"

    @property
    def hard_limit(self) -> int | None:
        """Bytes at which an item is stopped."""
        return self.memory_limit or (None if self.max_memory is None else 2 * self.max_memory)


# The defaults of the calls on a pool can be given to the pool as well, so POOL is every option.
SCOPES: dict[str, frozenset[Scope]] = {
    "backend": frozenset({Scope.POOL}),
    "start_method": frozenset({Scope.POOL}),
    "max_tasks_per_child": frozenset({Scope.POOL}),
    "initializer": frozenset({Scope.POOL}),
    "initargs": frozenset({Scope.POOL}),
    "name": frozenset({Scope.POOL}),
    "chunksize": frozenset({Scope.POOL, Scope.CALL}),
    "window": frozenset({Scope.POOL, Scope.CALL}),
    "progress": frozenset({Scope.POOL, Scope.CALL}),
    "timeout": frozenset({Scope.POOL, Scope.CALL}),
    "retries": frozenset({Scope.POOL, Scope.CALL}),
    "retry_on": frozenset({Scope.POOL, Scope.CALL}),
    "backoff": frozenset({Scope.POOL, Scope.CALL}),
    "crash_retries": frozenset({Scope.POOL, Scope.CALL}),
    "on_error": frozenset({Scope.POOL, Scope.CALL}),
    "max_memory": frozenset({Scope.POOL}),
    "memory_limit": frozenset({Scope.POOL}),
    "seed": frozenset({Scope.POOL, Scope.CALL}),
    "worker_env": frozenset({Scope.POOL}),
    "blas_threads": frozenset({Scope.POOL}),
    "capture": frozenset({Scope.POOL}),
}

# What other libraries call the same thing, where the spelling alone would not lead to ours.
_SIZE = "size"
_ELSEWHERE = {
    "buffersize": "window",
    "context": "start_method",
    "desc": "progress",
    "env": "worker_env",
    "inner_max_num_threads": "blas_threads",
    "max_workers": _SIZE,
    "mp_context": "start_method",
    "n_jobs": _SIZE,
    "n_workers": _SIZE,
    "num_workers": _SIZE,
    "processes": _SIZE,
    "progress_bar": "progress",
    "random_state": "seed",
    "task_timeout": "timeout",
    "tqdm": "progress",
    "worker_lifespan": "max_tasks_per_child",
    "workers": _SIZE,
}


def check_options(
    given: Mapping[str, Any],
    *,
    caller: str = "phalanx",
    scope: Scope = Scope.POOL,
    size_name: str = "workers",
    start_methods: Sequence[str] = START_METHODS,
    base: Options | None = None,
) -> Options:
    """The options `given` by keyword, checked, on top of `base`.

    `caller` names the call in messages. The number of workers stands in `given` under `size_name`, which is
    what the caller's signature calls it. None means "as if not given", for every option.
    """
    known = _known(scope, size_name)
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise _unknown(name, caller, scope, known, size_name)
        if value is None:
            continue
        if name == size_name:
            checked[_SIZE] = check_size(value, size_name)
        elif name == "start_method":
            checked[name] = choice(name, value, start_methods)
        else:
            checked[name] = CHECKS[name](value)
    options = replace(base or Options(), **checked)
    _check_together(options)
    return options


def check_size(value: Any, size_name: str = "workers") -> int:
    """The number of workers, checked; `size_name` is what the caller's signature calls it."""
    number = integer(size_name, value)
    if number > 0:
        return number
    # In the words of the standard library, which programs and tests look for.
    if size_name == "processes":
        raise ValueError(f"Number of processes must be at least 1, not {number}")
    raise ValueError(f"{size_name} must be greater than 0, not {number}")


def _known(scope: Scope, size_name: str) -> list[str]:
    names = [name for name, scopes in SCOPES.items() if scope in scopes]
    return [size_name, *names] if scope is Scope.POOL else names


def _unknown(name: str, caller: str, scope: Scope, known: list[str], size_name: str) -> TypeError:
    """The error for a name that is not an option here."""
    if scope is Scope.CALL and (name in SCOPES or name == size_name):
        return TypeError(
            f"{caller}() cannot change {name!r}, which belongs to the workers: give it where they are made"
        )
    right = _ELSEWHERE.get(name, "")
    right = size_name if right == _SIZE else right
    if right not in known:
        right = next(iter(get_close_matches(name, known, n=1)), "")
    if right:
        hint = f"did you mean {right!r}?"
    else:
        hint = f"the options are {', '.join(sorted(known))}"
    return TypeError(f"{caller}() got an unknown option {name!r}; {hint}")


def _check_together(options: Options) -> None:
    """What a backend cannot do, or what can have no effect, is refused, never ignored."""
    if options.backend != "processes":
        _check_without_processes(options)
    if options.retries and not options.retry_on:
        raise ValueError(
            f"retries={options.retries} has no effect without retry_on: say which exceptions are worth another "
            "try, as in retry_on=ConnectionError or retry_on=(OSError, ValueError)"
        )
    soft, hard = options.max_memory, options.memory_limit
    if soft is not None and hard is not None and hard < soft:
        raise ValueError(
            f"memory_limit={hard} is below max_memory={soft}: items would be stopped before their worker could "
            "be replaced"
        )


def _check_without_processes(options: Options) -> None:
    """Nothing can be killed in this process, and its memory is the caller's."""
    if options.start_method is not None:
        raise ValueError(
            f"start_method={options.start_method!r} is about processes, and backend={options.backend!r} has "
            f"none: leave one of the two out"
        )
    for name in ("timeout", "max_memory", "memory_limit"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"{name} needs workers that can be killed, and backend={options.backend!r} has none: "
                'leave one of the two out, or use backend="processes"'
            )
    for name in ("worker_env", "blas_threads", "capture"):
        if getattr(options, name) not in (None, "inherit", "forward"):
            raise ValueError(
                f"{name} is about processes, and backend={options.backend!r} has none but this one: "
                'leave one of the two out, or use backend="processes"'
            )
