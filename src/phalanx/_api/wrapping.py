"""What options have done around a task's function, in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx._base.options import Options


def wrapping(options: Options) -> tuple[Any, ...] | None:
    """All that tells one wrapping from another; None if the function goes as it is."""
    if options.seed is None and not options.retries:
        return None
    return options.seed, options.retry_on if options.retries else ()


def wrapped(fn: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """The function as workers shall call it. What is tried again has the same random numbers again."""
    if options.seed is not None:
        from phalanx._worker.seeding import Seeded

        fn = Seeded(fn, options.seed)
    if options.retries:
        from phalanx._worker.retrying import RetryOn

        fn = RetryOn(fn, options.retry_on)
    return fn
