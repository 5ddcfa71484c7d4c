"""Errors for items that were stopped by us. Made when the outcome is asked for: one exception per item."""

from __future__ import annotations

from phalanx._base.shortening import in_units
from phalanx._engine.losses import Describe, MakeError, item_in_words


def timed_out_item(pid: int, slot: int, limit: float, dump: str, describe: Describe) -> MakeError:
    """The item ran past its timeout of `limit` seconds. `dump`: what its worker said of where it was."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import TaskTimeout
        from phalanx._platform.stacks import tell

        stack, where = tell(dump)
        item, facts = item_in_words(index, pid, slot, describe)
        place = "" if where is None else f"; it was at {where}"
        return TaskTimeout(
            f"{item} ran longer than timeout={limit:g} s and was stopped with its worker process "
            f"(pid {pid}){place}. Other items are not affected, and the pool goes on; give such items a longer "
            "timeout, or go on without them by on_error='collect' or 'skip'",
            limit=limit,
            stack=stack,
            **facts,
        )

    return make


def oversized_item(pid: int, slot: int, limit: int, seen: int, describe: Describe) -> MakeError:
    """The item took its worker to `seen` bytes, past `limit`."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import MemoryLimit

        item, facts = item_in_words(index, pid, slot, describe)
        return MemoryLimit(
            f"{item} took its worker process (pid {pid}) to {in_units(seen)} of memory, past "
            f"memory_limit={in_units(limit)}, and was stopped with it. Other items are not affected, and the "
            "pool goes on; give such items a higher limit, or less to do at once",
            limit=limit,
            seen=seen,
            **facts,
        )

    return make


def warn_of_memory(free: int, floor: int) -> None:
    """Say, once, why everything has become slower."""
    import warnings

    warnings.warn(
        f"only {in_units(free)} of memory are left: while it is less than {in_units(floor)}, items run one at a "
        "time. Use fewer workers, or items that need less",
        RuntimeWarning,
        stacklevel=2,
    )


def warn_of_blocks(size: int) -> None:
    """Say, once, why large objects cross slowly."""
    import warnings

    warnings.warn(
        f"no block of shared memory of {size:,} bytes was to be had, for want of memory or of descriptors "
        "(ulimit -n): what finds none is copied through a pipe, which is slower. Send less at once",
        RuntimeWarning,
        stacklevel=2,
    )
