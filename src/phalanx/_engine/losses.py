"""Errors for items that no worker answered for. Made when the outcome is asked for: one exception per item.

What is known of a death must be read when it is noticed: a later worker writes its last words to the same
place, and counters go on. It is put into words when somebody asks.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from phalanx._base.shortening import Arguments, in_units
from phalanx._engine.workers import Worker
from phalanx._platform.oom import OomKills

if TYPE_CHECKING:
    from phalanx._base.errors import WhichItem

MakeError = Callable[[int], BaseException]
Describe = Callable[[int], Arguments]
"""What is known of an item's arguments, by its index."""

# Where moving an item begins to cost more than most people think of: about a millisecond (benchmarks, "arrays").
_WORTH_TELLING = 1_000_000

_WITH_LAST_WORDS = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})


def cancelled(index: int) -> BaseException:
    """The item was cancelled before it started."""
    from concurrent.futures import CancelledError

    return CancelledError()


class Deaths:
    """What can be found out about the deaths of one engine's workers."""

    def __init__(self, in_process: bool) -> None:
        self._oom_kills = None if in_process else OomKills()

    def before_start(self) -> None:
        """A worker is about to be started: what has killed others by now will not have killed it."""
        if self._oom_kills is not None:
            self._oom_kills.look()

    def lost_item(self, worker: Worker, pages: Any, describe: Describe) -> MakeError:
        """The worker was running the item and is dead."""
        status, words, oom_killed = self._traces(worker, pages)
        said = list(worker.said)
        return lost_item(worker.pid, worker.identity.slot, status, describe, words, oom_killed, said)

    def lost_start(self, worker: Worker, pages: Any) -> Callable[[], BaseException]:
        """The worker is dead and never was ready."""
        status, words, oom_killed = self._traces(worker, pages)
        # Not of the worker: an error outlives the engine, and its page would keep the memory of all.
        pid, slot, said = worker.pid, worker.identity.slot, list(worker.said)
        return lambda: lost_start(pid, slot, status, words, oom_killed, said)

    def _traces(self, worker: Worker, pages: Any) -> tuple[int | None, str, bool]:
        status = None if worker.ended is None else worker.ended.status
        words, oom_killed = "", False
        if status == -signal.SIGKILL and self._oom_kills is not None:
            oom_killed = self._oom_kills.ran()
        elif status is not None and -status in _WITH_LAST_WORDS and pages is not None:
            words = pages.account(worker.identity.page, worker.identity.worker) or ""
        return status, words, oom_killed


def item_in_words(index: int, pid: int, slot: int, describe: Describe) -> tuple[str, WhichItem]:
    """The item as a message names it, and the facts that every error of an item carries."""
    text, size = describe(index)
    about = [] if text is None else [text]
    if size is not None and size >= _WORTH_TELLING:
        about.append(f"{in_units(size)} sent")
    words = f"item {index} ({', '.join(about)})" if about else f"item {index}"
    return words, {"index": index, "arguments": text, "pid": pid, "slot": slot, "bytes_in": size}


def lost_item(
    pid: int,
    slot: int,
    status: int | None,
    describe: Describe,
    words: str = "",
    oom_killed: bool = False,
    said: Sequence[str] = (),
) -> MakeError:
    """`words`: what the worker wrote of its stacks; `oom_killed`: the kernel's OOM killer ran when it died;
    `said`: the last lines of its stderr."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import WorkerLost, describe_exit
        from phalanx._platform.stacks import fatal_dump, tell

        reason = describe_exit(status, oom_killed)
        stack, where = tell(fatal_dump(words))
        item, facts = item_in_words(index, pid, slot, describe)
        place = "" if where is None else f", in {where}"
        return WorkerLost(
            f"the worker process (pid {pid}) that was running {item} ended: {reason}{place}. "
            f"{_OOM_ADVICE if oom_killed else ''}"
            "Other items are not affected, and the pool goes on; crash_retries would try such an item again",
            **facts,
            exitcode=status if status is None or status >= 0 else None,
            signal=-status if status is not None and status < 0 else None,
            reason=reason,
            stderr="\n".join(said) or None,
            stack=stack,
        )

    return make


def lost_start(
    pid: int, slot: int, status: int | None, words: str, oom_killed: bool, said: Sequence[str]
) -> BaseException:
    """The cause of a failed start that is no exception: the process died."""
    from phalanx._base.errors import WorkerLost, describe_exit
    from phalanx._platform.stacks import fatal_dump, tell

    reason = describe_exit(status, oom_killed)
    stack, where = tell(fatal_dump(words))
    place = "" if where is None else f", in {where}"
    return WorkerLost(
        f"the worker process (pid {pid}) ended before it was ready: {reason}{place}",
        pid=pid,
        slot=slot,
        exitcode=status if status is None or status >= 0 else None,
        signal=-status if status is not None and status < 0 else None,
        reason=reason,
        stderr="\n".join(said) or None,
        stack=stack,
    )


_OOM_ADVICE = "Memory ran out: use fewer workers or smaller items, or bound each worker by max_memory. "


class StartError(NamedTuple):
    """Why a worker did not come to be ready."""

    make: Callable[[], BaseException]
    """Makes the reason, anew for every item."""
    said: Sequence[str] = ()
    """The last lines of its stderr, where that is captured."""


def start_failure(reason: StartError | None) -> MakeError:
    """No worker could be started for the item."""

    def make(index: int) -> BaseException:
        from phalanx._base.errors import WorkerLost, WorkerStartFailed

        cause, said = (None, ()) if reason is None else (reason.make(), reason.said)
        if cause is None:
            why = "they ended before they were ready"
        else:
            why = str(cause) if isinstance(cause, WorkerLost) else f"{type(cause).__name__}: {cause}"
        error = WorkerStartFailed(
            f"workers cannot start: {why}",
            index=index,
            cause=why,
            exitcode=cause.exitcode if isinstance(cause, WorkerLost) else None,
            stderr="\n".join(said) or None,
        )
        error.__cause__ = cause
        return error

    return make
