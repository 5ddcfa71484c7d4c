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
    from multiprocessing import synchronize

    from phalanx._api.managing import SyncManager
    from phalanx._api.pool import Pool
    from phalanx._sync import Lock as Lock_
    from phalanx._sync import RLock as RLock_


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

    def Lock(self) -> Lock_:
        """A lock that the next one gets if its holder dies: see `phalanx.Lock`."""
        from phalanx._sync import Lock

        return Lock(ctx=self)

    def RLock(self) -> RLock_:
        """The same for a lock that its holder may get again: see `phalanx.RLock`."""
        from phalanx._sync import RLock

        return RLock(ctx=self)

    # What follows is the standard library's, with the standard library's locks: what they protect is half done when
    # a process dies in the middle, and goes on to be.

    def Queue(self, maxsize: int = 0) -> Any:
        return self._standard().Queue(maxsize)

    def JoinableQueue(self, maxsize: int = 0) -> Any:
        return self._standard().JoinableQueue(maxsize)

    def SimpleQueue(self) -> Any:
        return self._standard().SimpleQueue()

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        return self._standard().Value(typecode_or_type, *args, lock=lock)

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        return self._standard().Array(typecode_or_type, size_or_initializer, lock=lock)

    def _standard(self) -> Any:
        own: Any = self
        return multiprocessing.get_context(own.get_start_method())


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


def Lock() -> Lock_:
    """A `multiprocessing.Lock`, which the next one gets within a second if its holder dies.

    Then a warning, `phalanx.errors.AbandonedLock`, says so, and the lock's `abandoned` is true until it is got again:
    what the lock protects may be half done.

    Example:
        >>> import phalanx
        >>> lock = phalanx.Lock()
        >>> with lock:
        ...     lock.abandoned
        False
    """
    found: Lock_ = get_context().Lock()
    return found


def RLock() -> RLock_:
    """The same as `phalanx.Lock`, but its holder may get it again, and gives it back as often."""
    found: RLock_ = get_context().RLock()
    return found


def Condition(lock: Any = None) -> synchronize.Condition:
    """A `multiprocessing.Condition`, whose lock is a `phalanx.RLock`, or the one that was given."""
    found: synchronize.Condition = get_context().Condition(lock)
    return found


def Event() -> synchronize.Event:
    """A `multiprocessing.Event`, whose lock is one of `phalanx`."""
    found: synchronize.Event = get_context().Event()
    return found


def Barrier(
    parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
) -> synchronize.Barrier:
    """A `multiprocessing.Barrier`, whose lock is one of `phalanx`."""
    found: synchronize.Barrier = get_context().Barrier(parties, action, timeout)
    return found


for _public in (get_context, Lock, RLock, Condition, Event, Barrier):
    _public.__module__ = "phalanx"
