"""The standard locks, which the next one gets when their holder has died.

Theory of operation. A semaphore does not know who has taken it: if that process is killed, it stays taken for ever.
So each thread notes in a table (`table.py`) that it *wants* the lock before it tries the semaphore, that it *holds*
it when it has got it, and that it is *giving it back* before it does. These are separate steps, and a process may be
killed between any two. What a waiter may conclude from that:

The token is lost if the semaphore is at zero, nobody alive holds the lock or is giving it back, and everybody alive
who wants it has waited in vain *since that was seen*: one of them could have got the token, and not have noted it
yet. Nor must anybody have passed the lock on since: who has waited in vain before that may have got it then. Whoever
finds all of this true, under a lock that the kernel takes from the dead, puts the token back. No time plays a part in
that. A process that was stopped in the middle makes the others wait for it, as long as it lives: it may be the one.

Waiters sleep in the kernel, and wake up now and then to look whether the token is lost. Who gets the lock first after
that is told, by a warning and by `abandoned`: what the lock protects may be half done.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from multiprocessing import context, synchronize
from time import monotonic
from typing import Any, NamedTuple

from phalanx._sync.table import (
    ABANDONED,
    FULL,
    HOLDS,
    KIND,
    PASSED_ON,
    PID,
    RELEASES,
    TURN,
    WAITED,
    WANTS,
    Table,
    new_table,
)

_SEMAPHORE: int = synchronize.SEMAPHORE  # type: ignore[attr-defined]
# How long a waiter sleeps before it looks around: at first, and at most. A lock is got back when all who wait have
# looked around twice, or three times.
_FIRST_SLICE = 0.01
_LONGEST_SLICE = 0.16


class _Sight(NamedTuple):
    """What a waiter has seen."""

    passed_on: int
    wanting: dict[int, tuple[int, int]]
    """By row, of those who live and want the lock: its state, and how often they have waited in vain."""


def _is_lost(then: _Sight, now: _Sight, own: int) -> bool | None:
    """Whether the token is lost, if nobody alive held it then or holds it now.

    If it was not, one of those who wanted it then had got it, and has noted that by now, or passed it on without,
    or has waited in vain no more. None if this cannot be told before they have waited once more.
    """
    if then.passed_on != now.passed_on:
        return False
    for row, (state, waited) in then.wanting.items():
        state_now, waited_now = now.wanting.get(row, (0, 0))
        if state_now != state:
            return False
        if waited_now == waited and row != own:
            return None
    return True


class _Slow:
    """What is done where the quick way does not lead on. Knows nothing of the lock that it is part of."""

    def __init__(self, semaphore: Any, table: Table, is_recursive: bool) -> None:
        self._semaphore = semaphore
        self._other: Any = None
        self._is_recursive = is_recursive
        self.table = table
        self.local = threading.local()
        self.told = 0
        """The turn in which it was told that the holder before had died."""

    def enter(self) -> int:
        row = self.local.row = self.table.row()
        return row

    def acquire_again(self, row: int, block: bool, timeout: float | None) -> bool:
        """By a thread that has no row, or holds it: of a plain lock it waits until somebody else releases it."""
        semaphore, words = self._semaphore, self.table.words
        turn = words[row] & ~KIND
        got: bool = semaphore.acquire(block, timeout)
        if got and row != FULL and not self._is_recursive:
            words[row] = turn + TURN + HOLDS
        return got

    def release_otherwise(self, row: int) -> None:
        """By a thread that has no row, or holds it more than once, or releases a plain lock for somebody else."""
        words = self.table.words
        if row == FULL or self._is_recursive:
            self._semaphore.release()
            return
        with self.table.alone():
            turn = words[row] & ~KIND
            try:
                words[row] = turn + RELEASES
                words[PASSED_ON] += 1
                for other in self.table.rows():
                    if words[other] & KIND == HOLDS:
                        words[other] += TURN - HOLDS
                self._semaphore.release()
            finally:
                words[row] = turn + TURN

    def let_go_of_what_was_got(self, row: int, turn: int) -> None:
        """Something struck between two steps: the semaphore knows whether this thread has got it."""
        words = self.table.words
        if self._semaphore._is_mine():
            words[row] = turn + RELEASES
            self._semaphore.release()
        words[row] = turn + TURN

    def wait(self, row: int, timeout: float | None) -> bool:
        words, take = self.table.words, self._semaphore.acquire
        until = None if timeout is None else monotonic() + timeout
        seen: _Sight | None = None
        rest = _FIRST_SLICE
        while True:
            seconds = rest if until is None else min(rest, until - monotonic())
            if seconds > 0 and take(True, seconds):
                if words[ABANDONED]:
                    self._tell(words[row] & ~KIND)
                return True
            words[row + WAITED] += 1
            if until is not None and monotonic() >= until:
                return False
            seen = self._look_around(row, seen)
            rest = min(2 * rest, _LONGEST_SLICE)

    def _look_around(self, row: int, seen: _Sight | None) -> _Sight | None:
        """After a wait in vain: what was seen the last time, and what is to be compared with the next time."""
        now = self._look()
        if now is None or seen is None:
            return now
        verdict = _is_lost(seen, now, row)
        if verdict is None:
            return seen
        if not verdict:
            return now
        with self.table.alone():
            again = self._look()
            if again is not None and _is_lost(seen, again, row):
                self._put_back()
        return None

    def _look(self) -> _Sight | None:
        """Who lives and wants it, if the token is gone and nobody who lives has it for certain."""
        table, words = self.table, self.table.words
        passed_on = words[PASSED_ON]
        if words[FULL] or not self._semaphore._is_zero():
            return None
        wanting = {}
        for row in table.rows():
            state, waited = words[row], words[row + WAITED]
            if state & KIND and table.lives(row):
                if state & KIND != WANTS:
                    return None
                wanting[row] = state, waited
        return _Sight(passed_on, wanting)

    def _put_back(self) -> None:
        table, words = self.table, self.table.words
        dead = [row for row in table.rows() if words[row] & KIND and not table.lives(row)]
        dead.sort(key=lambda row: words[row] & KIND == WANTS)
        # In this order: killed in between, the next one finds it lost again, or given back already.
        words[ABANDONED] = dead[0] if dead else ABANDONED
        self._poster().release()
        for row in dead:
            words[row] = (words[row] & ~KIND) + TURN

    def _poster(self) -> Any:
        """The same semaphore as one that has no owner. Kept, because its end would close the semaphore."""
        own = self._semaphore
        if self._other is None:
            self._other = type(own)._rebuild(own.handle, _SEMAPHORE, own.maxvalue, own.name)
        return self._other

    def _tell(self, turn: int) -> None:
        """Its last holder has died. Said once, by who has it now."""
        from phalanx._base.errors import AbandonedLock

        words = self.table.words
        row, words[ABANDONED] = words[ABANDONED], 0
        self.told = turn
        pid, name = (words[row + PID], self.table.name(row)) if row != ABANDONED else (None, None)
        who = "a process" if pid is None else f"{name} (pid {pid})"
        warning = AbandonedLock(
            f"{who} ended while it held this lock, or was about to get it; what the lock protects may be half done. "
            "This process holds it now, and `abandoned` of the lock says so",
            pid=pid,
            name=name,
        )
        warnings.warn(warning, stacklevel=4)


class _Surviving(synchronize.SemLock):
    """What our locks add to the standard library's, whose semaphore they use."""

    # What `with` looks up in the class is found in the object: see `_make_methods`. (The rest is in its `__dict__`.)
    __slots__ = ("acquire", "release")
    _semlock: Any
    _table: Table
    _slow: _Slow

    _is_recursive = False

    @property
    def abandoned(self) -> bool:
        """Whether the caller holds it because the holder before had died without giving it back."""
        slow = self._slow
        row = getattr(slow.local, "row", FULL)
        return slow.told > 0 and self._table.words[row] == slow.told + HOLDS

    def _make_methods(self) -> None:
        """As in the standard class, methods are made for each object: what they need is at hand, so they are fast.

        `acquire(block=True, timeout=None)` waits for the lock, or at most `timeout` seconds, or (if not `block`) not
        at all, and says whether it was got. `release()` gives it back, and raises what the standard lock raises if it
        is not held. They do not know the lock itself: nobody shall need the collector to get rid of it.
        """
        semaphore, is_recursive = self._semlock, self._is_recursive
        slow = self._slow = _Slow(semaphore, self._table, is_recursive)
        local, words = slow.local, self._table.words
        take, give, depth = semaphore.acquire, semaphore.release, semaphore._count
        _locks.add(self)

        def acquire(block: bool = True, timeout: float | None = None) -> bool:
            try:
                row = local.row
            except AttributeError:
                row = slow.enter()
            turn = words[row]
            if turn & KIND:
                return slow.acquire_again(row, block, timeout)
            try:
                words[row] = turn + WANTS
                if not take(False) and not (block and slow.wait(row, timeout)):
                    words[row] = turn + TURN
                    return False
                words[row] = turn + HOLDS
            except BaseException:
                slow.let_go_of_what_was_got(row, turn)
                raise
            return True

        def release(kind: object = None, error: object = None, trace: object = None, /) -> None:
            # Also what `with` calls at its end, with what was raised: one call less.
            try:
                row = local.row
            except AttributeError:
                row = slow.enter()
            turn = words[row]
            if turn & KIND != HOLDS or (is_recursive and depth() != 1):
                slow.release_otherwise(row)
                return
            try:
                words[row] = turn + (RELEASES - HOLDS)
                give()
            finally:
                words[row] = turn + (TURN - HOLDS)

        self.acquire, self.release = acquire, release  # type: ignore[method-assign]

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._table

    def __setstate__(self, state: Any) -> None:
        semaphore, self._table = state
        super().__setstate__(semaphore)  # type: ignore[misc]


# `with` finds a method in the class, and there the descriptors of what each object has.
_Surviving.__enter__ = _Surviving.__dict__["acquire"]  # type: ignore[method-assign]
_Surviving.__exit__ = _Surviving.__dict__["release"]  # type: ignore[method-assign]


class Lock(_Surviving, synchronize.Lock):
    """`multiprocessing.Lock`, which the next one gets within a second if its holder dies."""

    def __init__(self, *, ctx: Any = None) -> None:
        self._table = new_table()
        super().__init__(ctx=ctx or context._default_context.get_context())


class RLock(_Surviving, synchronize.RLock):
    """`multiprocessing.RLock`, which the next one gets within a second if its holder dies."""

    _is_recursive = True

    def __init__(self, *, ctx: Any = None) -> None:
        self._table = new_table()
        super().__init__(ctx=ctx or context._default_context.get_context())


_locks: weakref.WeakSet[_Surviving] = weakref.WeakSet()


def _forget_rows() -> None:
    """The rows that this thread knows are its parent's. In place: others have got hold of the methods."""
    for lock in list(_locks):
        vars(lock._slow.local).clear()
        lock._table.forget_threads()


os.register_at_fork(after_in_child=_forget_rows)
