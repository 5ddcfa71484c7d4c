"""What must not happen, or must happen, in a process that was just forked.

A forked child has a copy of every descriptor. A copy of the parent's end of a channel keeps the channel open
after the parent is gone, so its worker would wait for ever; and a child that writes to it would disturb the
parent. So whoever makes such a descriptor registers it here, and every child that Python forks (ours, the
user's, `multiprocessing`'s) closes its copies before it runs anything else.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Closable(Protocol):
    """Something whose `close` gives descriptors back and does nothing else."""

    def close(self) -> object: ...


class Descriptor:
    """A descriptor with an owner, for what has no object of its own."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self, close: Callable[[int], object] = os.close) -> None:
        """Give it back. Idempotent.

        `close` is at hand also when the interpreter ends, and has emptied the modules by then.
        """
        number, self.number = self.number, -1
        if number >= 0:
            close(number)

    def __del__(self) -> None:
        if hasattr(self, "number"):  # an exception may strike even before it is stored
            self.close()


# Not a WeakSet: going through one takes ten times as many pages of memory, each to be copied for the child.
_closables: set[weakref.ref[Any]] = set()
# A fork waits until descriptors that are being made are registered. Reentrant, because a signal handler
# or a finalizer may fork while its own thread is in there.
_making = threading.RLock()
# What an inherited finalizer holds must not be freed in a child: freeing may run the user's code.
_kept: list[Any] = []


def making_descriptors() -> AbstractContextManager[object]:
    """Held while descriptors are made and not yet registered: no fork happens meanwhile."""
    return _making


def close_in_children(closable: Closable) -> None:
    """Let every process that is forked from this one close its copy."""
    with _making:
        _closables.add(weakref.ref(closable, _closables.discard))


@contextmanager
def handing_down(*closables: Closable) -> Iterator[None]:
    """The process that is forked in here keeps its copies of these; those forked by others do not."""
    with _making:
        try:
            _closables.difference_update(map(weakref.ref, closables))
            yield
        finally:
            for closable in closables:
                close_in_children(closable)


def forget_exit_handlers() -> None:
    """Handlers that belong to the parent never run here; those registered from now on do."""
    atexit._clear()
    registry: dict[Any, Any] = weakref.finalize._registry  # type: ignore[attr-defined]
    _kept.append(dict(registry))
    registry.clear()
    # The first finalizer made here must register the run of all of them anew.
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def run_exit_handlers() -> None:
    """Run what was registered with `atexit`, once: a second call finds nothing."""
    atexit._run_exitfuncs()


def _before() -> None:
    _making.acquire()


def _in_parent() -> None:
    _making.release()


def _in_child() -> None:
    global _making
    # The thread that forked may have held it more than once, and its `with` may never end here.
    _making = threading.RLock()
    references = list(_closables)
    _closables.clear()
    for reference in references:
        closable = reference()
        if closable is not None:
            try:
                closable.close()
            except Exception:  # one that cannot be closed must not keep the others open
                pass


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
