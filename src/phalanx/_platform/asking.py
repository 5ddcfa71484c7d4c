"""Asking a worker for its stack while it runs. Nobody waits here: ask, come back later, look.

A worker that runs Python, or sleeps in a call of Python's, answers the first signal between two bytecodes. One
that does not is inside a call into C, or has no processor to run on. Only the former may be sent the second
signal, which is answered wherever the worker is (`blackbox.py` tells what that may do to one that runs Python):
so first it must be seen asleep, or have used processor time enough to come to many bytecodes, with no answer.

Whoever looks at a request that has not been answered sends that second signal. Two of a kind at a time might be
taken by two threads of the worker, whose dumps would be mixed; so there is one request at a time for a worker,
and whoever asks meanwhile gets that one, and thereby looks at it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from phalanx._platform import blackbox
from phalanx._platform.stacks import first_answer, without_fatal_dump

LOOK_AFTER = 0.05
"""Seconds after which to look. Measured: who runs Python or sleeps answers in 0.2 ms, and in 3 ms where every
processor is busy; a scheduler lets others wait for some 4 ms at a time."""

# Seconds before a worker is asked with insistence: what needs to have run for the time below has by then.
_PATIENCE = 0.02
# Twice what the interpreter lets a thread run before it gives way to others: who comes to bytecodes at all, comes
# to thousands meanwhile.
_ENOUGH_NANOSECONDS = 10_000_000


class Accounts(Protocol):
    """Pages with what workers say of their stacks: `SharedPages`, `LocalPages`."""

    asked: dict[int, Any]

    def account(self, index: int, worker: int, since: int = 0) -> str | None: ...

    def process_id(self, index: int, worker: int) -> int | None: ...


class StackRequest:
    """What was asked of one worker at one moment.

    `refused` says in words why nothing will come; it is None when the signal was sent. Look `LOOK_AFTER` seconds
    later, by `is_whole()` or `text()`. If the answer is not whole by then, look once more after as long, and take
    what `text()` has. A dump that is cut short is still one.
    """

    def __init__(self, pages: Accounts, index: int, worker: int, send: Callable[[int], None]) -> None:
        self.worker = worker
        self.refused: str | None = None
        self._pages = pages
        self._index = index
        self._send = send
        self._seen = ""
        self._has_insisted = False
        account = pages.account(index, worker)
        self._before = 0 if account is None else len(account)
        if account is None:
            self.refused = "its stack cannot be seen: it is just starting, or this system has no way to tell"
        elif self._before >= blackbox.ASK_BELOW:
            megabytes = blackbox.ASK_BELOW >> 20
            self.refused = f"it has been asked so often that the {megabytes} MB for its answers are full"
        self._asked_at = monotonic()
        self._had_run = _activity(pages.process_id(index, worker))[1]

    def ask(self) -> None:
        """Send the first signal."""
        if self.refused is None and blackbox.ASK_SIGNAL is not None:
            self._send(blackbox.ASK_SIGNAL)

    def text(self) -> str:
        """The dump, as far as it has come; empty while nothing has."""
        return self._look()[0]

    def is_whole(self) -> bool:
        """Whether all of it has come."""
        return self._look()[1]

    def is_over(self) -> bool:
        """Whether the worker may be asked again: it has answered, if perhaps in a shape that we do not know."""
        before = self._seen
        dump, whole = self._look()
        return whole or bool(before and before == dump)

    def _look(self) -> tuple[str, bool]:
        account = self._pages.account(self._index, self.worker, self._before)
        answer = "", False
        if account is not None:
            answer = first_answer(without_fatal_dump(account))
        self._seen = answer[0]
        if not self._seen and account is not None:
            self._insist()
        return answer

    def _insist(self) -> None:
        if self._has_insisted or self.refused is not None or monotonic() < self._asked_at + _PATIENCE:
            return
        state, ran = _activity(self._pages.process_id(self._index, self.worker))
        is_in_c = state in _ASLEEP or (state == _RUNNING and ran - self._had_run >= _ENOUGH_NANOSECONDS)
        if is_in_c and blackbox.INSIST_SIGNAL is not None:
            self._has_insisted = True
            self._send(blackbox.INSIST_SIGNAL)


def ask_for_stack(pages: Accounts, index: int, worker: int, send: Callable[[int], None]) -> StackRequest:
    """Ask the worker that has this page. `send(number)` sends it a signal, or does nothing if it is gone."""
    earlier: StackRequest | None = pages.asked.get(index)
    if earlier is not None and earlier.worker == worker and not earlier.is_over():
        return earlier
    request = StackRequest(pages, index, worker, send)
    request.ask()
    if request.refused is None:
        # Not before: struck in between, it would wait for ever for what was never asked.
        pages.asked[index] = request
    return request


_RUNNING = "R"
_ASLEEP = frozenset("SD")


def _activity(pid: int | None) -> tuple[str, int]:
    """What the main thread does (one letter, empty if unknown), and how long it has run, in nanoseconds."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program may contain anything.
            state = file.read().rpartition(b")")[2].split()[0].decode()
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return state, int(file.read().split()[0])
    except (OSError, IndexError):  # gone, or a kernel that does not say
        return "", 0
