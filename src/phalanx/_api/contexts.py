"""Contexts: those of the standard library, with our processes, pools and managers.

They have no state of their own: which start method is the default is known to `multiprocessing`, so that a program
may use both.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from multiprocessing import context
from typing import TYPE_CHECKING, Any

from phalanx._api import process

if TYPE_CHECKING:
    from phalanx._api.managing import SyncManager
    from phalanx._api.pool import Pool


class _Ours:
    """What our contexts have of ours."""

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        **options: Any,
    ) -> Pool:
        """A `phalanx.Pool` whose workers are started by this context's method."""
        from phalanx._api.pool import Pool

        context: Any = self
        return Pool(processes, initializer, initargs, maxtasksperchild, context, **options)

    def Manager(self) -> SyncManager:
        """A started manager, as `phalanx.Manager` gives it, in a process that this context starts."""
        from phalanx._api.managing import SyncManager

        context: Any = self
        manager = SyncManager(ctx=context)
        manager.start()
        return manager


class ForkContext(_Ours, context.ForkContext):  # type: ignore[misc]
    """Processes are forked."""

    Process = process.ForkProcess


class SpawnContext(_Ours, context.SpawnContext):  # type: ignore[misc]
    """Processes are new interpreters."""

    Process = process.SpawnProcess


class ForkServerContext(_Ours, context.ForkServerContext):  # type: ignore[misc]
    """Processes are forked by a server."""

    Process = process.ForkServerProcess


_CONTEXTS: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


def get_context(method: str | None = None) -> Any:
    """A context object: the same functions as this module, for one start method.

    Args:
        method: "fork", "spawn" or "forkserver"; None for the default, which is then settled, as
            `multiprocessing.get_context` settles it.

    Raises:
        ValueError: There is no such method here.

    Example:
        >>> import phalanx
        >>> phalanx.get_context("spawn").get_start_method()
        'spawn'
    """
    # Asked first: it knows which there are, and says so.
    return _CONTEXTS[multiprocessing.get_context(method).get_start_method()]


get_context.__module__ = "phalanx"
