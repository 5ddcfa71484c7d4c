"""A worker's share of the processors: pools inside workers divide what there is, they do not multiply it.

A worker process has its share for good, a worker thread too; a worker that is called by the thread that waits
gives its share to that thread for as long as it runs. Loaded by every worker, so it must stay light.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

OF_THREAD: ContextVar[int | None] = ContextVar("share", default=None)
_share_of_process: int | None = None


def own_share() -> int | None:
    """The share of this thread, or else of this process; None outside of workers."""
    share = OF_THREAD.get()
    return _share_of_process if share is None else share


def give_process(share: int | None) -> None:
    """This process is a worker from now on."""
    global _share_of_process
    _share_of_process = share
    # It may have been forked by a thread that was a worker itself.
    OF_THREAD.set(None)


def give_thread(share: int | None) -> None:
    """This thread is a worker from now on."""
    OF_THREAD.set(share)


def call_with(share: int | None, function: Callable[[], Any]) -> Any:
    """What `function()` returns; while it runs, this thread is a worker.

    In a context of its own, which ends with the call whatever strikes.
    """
    return copy_context().run(_call, share, function)


def _call(share: int | None, function: Callable[[], Any]) -> Any:
    OF_THREAD.set(share)
    return function()
