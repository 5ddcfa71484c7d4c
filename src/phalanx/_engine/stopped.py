"""Errors for items that were stopped by us. Made when the outcome is asked for: one exception per item."""

from __future__ import annotations

from collections.abc import Callable

from phalanx._engine.losses import MakeError

Describe = Callable[[int], str | None]
"""The shortened text of an item's arguments, by its index."""

_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def timed_out_item(pid: int, slot: int, limit: float, dump: str, describe: Describe) -> MakeError:
    """The item ran past its timeout of `limit` seconds. `dump`: what its worker said of where it was."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import TaskTimeout
        from phalanx._platform.stacks import tell

        stack, where = tell(dump)
        arguments = describe(index)
        shown = "" if arguments is None else f" ({arguments})"
        place = "" if where is None else f"; it was at {where}"
        return TaskTimeout(
            f"item {index}{shown} ran longer than timeout={limit:g} s and was stopped with its worker process "
            f"(pid {pid}){place}. Other items are not affected, and the pool goes on; give such items a longer "
            "timeout, or go on without them by on_error='collect' or 'skip'",
            limit=limit,
            stack=stack,
            index=index,
            arguments=arguments,
            pid=pid,
            slot=slot,
        )

    return make


def oversized_item(pid: int, slot: int, limit: int, seen: int, describe: Describe) -> MakeError:
    """The item took its worker to `seen` bytes, past `limit`."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import MemoryLimit

        arguments = describe(index)
        shown = "" if arguments is None else f" ({arguments})"
        return MemoryLimit(
            f"item {index}{shown} took its worker process (pid {pid}) to {in_units(seen)} of memory, past "
            f"memory_limit={in_units(limit)}, and was stopped with it. Other items are not affected, and the "
            "pool goes on; give such items a higher limit, or less to do at once",
            limit=limit,
            seen=seen,
            index=index,
            arguments=arguments,
            pid=pid,
            slot=slot,
        )

    return make


def warn_of_memory(free: int, floor: int) -> None:
    """Say, once, why everything has become slower."""
    import warnings

    warnings.warn(
        f"only {in_units(free)} of memory are left: while it is less than {in_units(floor)}, items run one at a "
        "time. Use fewer workers, or items that need less",
        ResourceWarning,
        stacklevel=2,
    )


def in_units(size: int) -> str:
    """Bytes as a person says them."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"
