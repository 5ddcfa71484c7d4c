"""`map` and `stream`: one call, its own workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from phalanx._api import exiting
from phalanx._api.forking import warn_of_threads
from phalanx._api.launching import Inherited
from phalanx._api.maps import LAZY, as_items, as_sequence, map_all
from phalanx._api.session import Session
from phalanx._api.sizes import default_size
from phalanx._api.streams import Stream
from phalanx._api.traces import attach_pool_trace
from phalanx._api.wrapping import wrapped
from phalanx._base.options import Options, check_options
from phalanx._memory.shared import handles_alive
from phalanx._policy import Mode

T = TypeVar("T")


def map(
    fn: Callable[..., T], /, *iterables: Iterable[Any], workers: int | None = None, **options: Any
) -> list[T]:
    """`list(builtins.map(fn, *iterables))`, computed by several processes; results in input order.

    The first item that fails raises its own exception here at once, with the worker's traceback as its cause,
    and the rest is cancelled.

    Args:
        fn: Called with one element from each iterable.
        workers: Number of workers; by default as many as this process may use processors.
        options: `backend` ("processes", "threads", "serial"), `start_method`, `chunksize`,
            `max_tasks_per_child`, `initializer`, `initargs`, `progress`, `name`; `timeout` (seconds for one
            item); `retries`, `retry_on` and `backoff` (seconds), `crash_retries`; `on_error` ("raise",
            "collect", "skip"); `max_memory` and `memory_limit` (bytes, or text like "2GB"); `seed` (an integer:
            random numbers that depend on it and on the item's place alone); `worker_env` (a dict, or a function of
            the worker's slot that gives one), `blas_threads`; `capture` ("inherit", "forward", "discard": where
            prints and log records of tasks go).

    Raises:
        TypeError, ValueError: For options that do not exist or make no sense.
        phalanx.errors.NotSendable: If `fn` or an item cannot travel to another process.
        phalanx.errors.WorkerLost: If the process that ran an item died.
        phalanx.errors.TaskTimeout, phalanx.errors.MemoryLimit: If an item was stopped at its limit.
        What raises because of an item has `partial_results`: by index, the results that had come.

    Example:
        >>> import phalanx
        >>> phalanx.map(pow, [1, 2, 3], [2, 2, 2], workers=2)
        [1, 4, 9]
    """
    checked = _check(options, workers, "map")
    style, iterable = as_items(iterables)
    items = as_sequence(iterable)
    if not items:
        return []
    session = _open(checked, len(items), _inheritable(checked, fn, items))
    try:
        results = map_all(
            session, fn, style, items, chunksize=checked.chunksize, fail_fast=True, options=checked
        )
        session.close(Mode.DRAIN)
        return results
    except BaseException:
        session.close(Mode.TERMINATE)
        raise
    finally:
        session.join()


def stream(
    fn: Callable[..., T],
    /,
    *iterables: Iterable[Any],
    ordered: bool = True,
    workers: int | None = None,
    **options: Any,
) -> Stream[T]:
    """Results one by one, lazily: input is read only a bounded way (`window` items) ahead of what was taken.

    So the input may be endless, and neither inputs nor results pile up in memory. Iterators are read on a
    thread of their own. Closing or dropping the returned iterator cancels what has not started.

    Args:
        fn: Called with one element from each iterable.
        ordered: Results in input order; otherwise each as soon as it is there.
        workers: Number of workers; by default as many as this process may use processors.
        options: As for `phalanx.map`, and `window`.

    Raises:
        TypeError, ValueError: For options that do not exist or make no sense.
        What an item raised: from the iterator, in that item's place; the stream can be read on after it.
        What the input iterator raised: after everything that came before.

    Example:
        >>> import phalanx, itertools
        >>> squares = phalanx.stream(pow, itertools.count(1), itertools.repeat(2), workers=2)
        >>> [next(squares) for _ in range(4)]
        [1, 4, 9, 16]
        >>> squares.close()
    """
    checked = _check(options, workers, "stream")
    style, items = as_items(iterables)
    inherited = None
    if type(items) in LAZY:
        items = as_sequence(items, copy=True)
        inherited = _inheritable(checked, fn, items)
    session = _open(checked, None, inherited)
    try:
        result: Stream[T] = Stream(session, checked, ordered=ordered, cancels=True, owns=True)
        result.open(fn, style, items, chunksize=checked.chunksize, window=checked.window, bounded=True)
    except BaseException:
        session.close(Mode.TERMINATE)
        session.join()
        raise
    return result


def _check(options: dict[str, Any], workers: int | None, caller: str) -> Options:
    warn_of_threads(options.get("start_method"))
    return check_options(
        dict(options, workers=workers),
        caller=caller,
        size_name="workers",
        start_methods=multiprocessing.get_all_start_methods(),
    )


def _inheritable(options: Options, fn: Callable[..., Any], items: Sequence[Any]) -> Inherited | None:
    """What workers may have by being forked. Not items that may be tried again: a first try may have changed them."""
    if options.retries or handles_alive():  # a handle becomes what it stands for on its way
        return None
    return wrapped(fn, options), items


def _open(options: Options, items: int | None, inherited: Inherited | None) -> Session:
    size = default_size(options)
    if items is not None:
        size = min(size, items)
    session = Session(options, size, attach_pool_trace, inherited=inherited)
    exiting.end_at_exit(session, Mode.TERMINATE)
    try:
        session.start()
    except BaseException:
        session.close(Mode.TERMINATE)
        session.join()
        raise
    return session


for _public in (map, stream):
    _public.__module__ = "phalanx"
