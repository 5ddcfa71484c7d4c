"""The standard library's managers, with our pools in their servers."""

from __future__ import annotations

import multiprocessing
from multiprocessing import managers

from phalanx._api.pool import Pool


class SyncManager(managers.SyncManager):
    """`multiprocessing.managers.SyncManager` whose `Pool` is `phalanx.Pool`."""


SyncManager.register("Pool", Pool, managers.PoolProxy)  # type: ignore[attr-defined]
SyncManager.__module__ = "phalanx.managers"


def Manager() -> SyncManager:
    """A started `SyncManager`, as `multiprocessing.Manager` gives it.

    Example:
        >>> import phalanx
        >>> with phalanx.Manager() as manager:
        ...     numbers = manager.list([1, 2])
        ...     numbers.append(3)
        ...     list(numbers)
        [1, 2, 3]
    """
    manager = SyncManager(ctx=multiprocessing.get_context())
    manager.start()
    return manager


Manager.__module__ = "phalanx"
