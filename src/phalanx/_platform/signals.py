"""Signals around the birth of a child.

Uses the C functions below `signal`'s: those convert every number to an enum and back, which takes a
millisecond of the start of every worker.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def blocked(signals: Iterable[int] | None = None) -> Iterator[None]:
    """Hold back these signals (None: all) in this thread; a child that is started meanwhile inherits that.

    So no handler of the parent's can run in a child that has not settled its signals yet.
    """
    # Asked for first: the call that blocks may itself raise out of a handler that was already due.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() if signals is None else signals)
        yield
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def settle_signals() -> None:
    """In a forked child: the parent's handlers are gone, and no signal is held back any more."""
    _signal.set_wakeup_fd(-1)
    for number in _signal.valid_signals():
        if callable(_signal.getsignal(number)):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    # As the interpreter itself starts with: writing to a closed pipe is an error, not the end.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    ignore_interrupts()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def ignore_interrupts() -> None:
    """Ctrl-C goes to the parent, which decides what becomes of its workers."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGINT,))


def answer_interrupts(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have this called at Ctrl-C."""
    _signal.signal(_signal.SIGINT, handler)


def notify_of_children(descriptor: int) -> None:
    """Write a byte to this descriptor whenever a child has ended."""
    # Without a handler of Python's nothing is written. It has nothing to do by itself.
    _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
    _signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def stop_notifying() -> None:
    """Undo `notify_of_children`."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
