"""Noticing that much shared memory is not used any more.

What is let go of is told to whoever else has it with the next message that goes there. If none does, because a
pool is idle, that could be never. So whoever can send a message of its own listens here.

Finalizers call this, anywhere: in the middle of a critical section, in a forked child, while the interpreter
ends. So a listener waits for nobody, and what it needs hangs on objects, for modules may be empty by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import ref

# So much may wait for the next message in any case. Somewhat less than what a user would look for, and so much that
# a message for it takes no time beside what it took to fill it.
WORTH_TELLING = 8_000_000


class Listener(Protocol):
    """Who can send a message of its own."""

    def remind(self) -> object:
        """Much was let go of."""


class _Ear:
    __slots__ = ("_bytes", "_listeners")

    def __init__(self) -> None:
        self._bytes = 0
        self._listeners: set[ref[Listener]] = set()

    def listen(self, listener: Listener) -> None:
        """Have it reminded when much is let go of, as long as it lives."""
        self._listeners.add(ref(listener, self._listeners.discard))

    def let_go(self, size: int) -> None:
        """So many bytes are not used any more."""
        self._bytes += size  # a sum that another thread has spoiled is near enough
        if self._bytes >= WORTH_TELLING and self._listeners:
            self._bytes = 0
            for each in list(self._listeners):
                listener = each()
                if listener is not None:
                    listener.remind()


_ear = _Ear()
listen = _ear.listen
let_go = _ear.let_go


class Weight:
    """Part of something that others were told of: its end comes when nothing refers to the whole any more.

    A finalizer of the whole itself would be called while weak references still find it.
    """

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    def __del__(self, let_go: Callable[[int], object] = let_go) -> None:
        let_go(getattr(self, "_size", 0))  # an exception may strike even before it is stored
