"""What options, and what the caller has around it, have done around a task's function, in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from phalanx._base.options import Options

if TYPE_CHECKING:
    from phalanx._engine.packing import Packer
    from phalanx._worker.surroundings import Record


def wrapping(options: Options) -> tuple[Any, ...] | None:
    """All that tells one wrapping by options from another; None if the function goes as it is."""
    if options.seed is None and not options.retries:
        return None
    return options.seed, options.retry_on if options.retries else ()


def wrapped(
    fn: Callable[..., Any],
    options: Options,
    record: Record | None = None,
    pack: Callable[[Any], Any] | None = None,
) -> Callable[..., Any]:
    """The function as workers shall call it. What is tried again has the same random numbers again.

    `record`: the surroundings that it shall be called in; `pack` makes the bytes of the function within.
    """
    if options.seed is not None:
        from phalanx._worker.seeding import Seeded

        fn = Seeded(fn, options.seed)
    if options.retries:
        from phalanx._worker.retrying import RetryOn

        fn = RetryOn(fn, options.retry_on)
    if record is not None:
        from phalanx._worker.surroundings import Surrounded

        fn = Surrounded(fn, record, pack)
    return fn


def wrapped_payload(packer: Packer, fn: Callable[..., Any], options: Options, record: Record | None) -> Any:
    """What workers are sent for it. Raises `NotSendable`, or what pickling raises."""
    around = wrapped(fn, options, record, packer.pickled)
    try:
        return packer.function(around)
    except Exception:
        if around is not fn:
            packer.function(fn)  # what is wrong with it is told in its own terms, if that is the cause
        raise
