"""Who wants and who holds a lock: words in memory that all processes share which know the lock.

Each thread that uses the lock has a row of its own, and is the only one that writes to it; but whoever releases a
lock for somebody else clears that one's HOLDS. A row says which process it is of, by number and by when that process
began, so a number that is given a second time is not mistaken for the first.

The tables of many locks lie in one file without a name, of which each lock keeps the descriptor: also for the record
lock under which rows are given out, which the kernel takes from who dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import process, reduction
from pathlib import Path
from typing import Any

from phalanx._platform.files import anonymous_file
from phalanx._platform.forked import Descriptor

# A header and 127 rows of eight words. More threads than that: see `Table.row`.
TABLE_BYTES = 8192
_ROW = 8
_FIRST, _END = _ROW, TABLE_BYTES // 8
_TABLES = 256

# Words of a row. STATE is a number that no other turn of this thread has, and one of the four below. WAITED is how
# often it has waited in vain.
STATE, PID, BEGAN, WAITED, THREAD, _NAME = range(6)
_IDLE, WANTS, HOLDS, RELEASES = range(4)
TURN = 4
KIND = TURN - 1
_NAME_BYTES = 16
# Words of the header: whether there are no more rows, how often the lock was passed on by who did not hold it, and
# the row of a holder that has died.
FULL, PASSED_ON, ABANDONED = range(3)


class _Arena:
    """A file with many tables. Travels to a process that is being spawned."""

    def __init__(self, descriptor: int | None = None) -> None:
        size = TABLE_BYTES * _TABLES
        self.file = Descriptor(anonymous_file("phalanx-locks", size) if descriptor is None else descriptor)
        self.memory = memoryview(mmap.mmap(self.file.number, size)).cast("Q")
        self.used = 0

    def __reduce__(self) -> Any:
        return _arena_of, (reduction.DupFd(self.file.number),)


def _arena_of(handle: Any) -> _Arena:
    """One object for a file: closing a second descriptor of it would give back the record locks of the first."""
    file = Descriptor(handle.detach())
    found = os.fstat(file.number)
    key = found.st_dev, found.st_ino
    arena = _known.get(key)
    if arena is None:
        number, file.number = file.number, -1
        arena = _known[key] = _Arena(number)
    return arena


_known: weakref.WeakValueDictionary[tuple[int, int], _Arena] = weakref.WeakValueDictionary()
# The one that is being filled, as long as one of its locks lives, and the process that fills it.
_filling: tuple[int, weakref.ref[_Arena]] | None = None
_making = threading.RLock()


def new_table() -> Table:
    """A table for a new lock."""
    global _filling
    with _making:
        # Not in what a parent goes on filling: both would take the next table for theirs.
        arena = None if _filling is None or _filling[0] != os.getpid() else _filling[1]()
        if arena is None or arena.used == _TABLES:
            arena = _Arena()
            _filling = os.getpid(), weakref.ref(arena)
        arena.used += 1
        return Table(arena, arena.used - 1)


def _forget_threads() -> None:
    global _making
    _making = threading.RLock()


os.register_at_fork(after_in_child=_forget_threads)


class Table:
    """Of one lock, in one process."""

    __slots__ = ("_arena", "_rows", "_turn", "number", "words")

    def __init__(self, arena: _Arena, number: int) -> None:
        self._arena = arena
        self.number = number
        begin = number * TABLE_BYTES // 8
        self.words = arena.memory[begin : begin + TABLE_BYTES // 8]
        self._turn = threading.RLock()

    def __reduce__(self) -> Any:
        return Table, (self._arena, self.number)

    def forget_threads(self) -> None:
        """In a forked child: a thread that was in `alone` is not here."""
        self._turn = threading.RLock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other thread of any process is in here."""
        with self._turn:
            # A lock of a range of the file, which is this process's until it gives it back or ends.
            place = self.number * TABLE_BYTES
            fcntl.lockf(self._arena.file.number, fcntl.LOCK_EX, 1, place)
            try:
                yield
            finally:
                fcntl.lockf(self._arena.file.number, fcntl.LOCK_UN, 1, place)

    def row(self) -> int:
        """Where the calling thread's row begins; FULL if there is none left: then nobody is missed any more.

        Because who has no row could hold the lock, and nobody would know.
        """
        words = self.words
        with self.alone():
            row = self._free()
            if row == FULL:
                words[FULL] = (
                    RELEASES  # whoever looks at it as at a row of his own finds that he has to do otherwise
                )
                return row
            name = process.current_process().name.encode()[-_NAME_BYTES:].ljust(_NAME_BYTES, b"\0")
            # Its number goes on: what others have seen of who had this row before must not come again.
            words[row + STATE] = (words[row + STATE] & ~KIND) + TURN
            words[row + WAITED] = 0
            words[row + _NAME] = int.from_bytes(name[:8], "little")
            words[row + _NAME + 1] = int.from_bytes(name[8:], "little")
            words[row + BEGAN] = beginning(os.getpid())
            words[row + THREAD] = threading.get_native_id()
            words[row + PID] = os.getpid()
            return row

    def _free(self) -> int:
        words = self.words
        for row in range(_FIRST, _END, _ROW):
            if not words[row + PID]:
                return row
        for row in range(_FIRST, _END, _ROW):
            if not words[row + STATE] & KIND and not self._thread_lives(row):
                return row
        return FULL

    def rows(self) -> Iterator[int]:
        """Of all threads that ever used the lock."""
        words = self.words
        return (row for row in range(_FIRST, _END, _ROW) if words[row + PID])

    def lives(self, row: int) -> bool:
        """Whether the process of this row is there."""
        return beginning(self.words[row + PID]) == self.words[row + BEGAN]

    def _thread_lives(self, row: int) -> bool:
        words = self.words
        return self.lives(row) and Path(f"/proc/{words[row + PID]}/task/{words[row + THREAD]}").exists()

    def name(self, row: int) -> str:
        """The name that the process of this row had for itself, or the end of it."""
        parts = (self.words[row + _NAME + at].to_bytes(8, "little") for at in range(2))
        return b"".join(parts).rstrip(b"\0").decode(errors="replace")


def beginning(pid: int) -> int:
    """When the process began, in ticks of the kernel's clock; 0 if it has ended, also if nobody has reaped it yet.

    Field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
