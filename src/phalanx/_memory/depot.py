"""The lender's blocks: which are lent, which are idle and warm, and when they are given up.

A block has users: the loan that was written into it, and one for each process that was told of it. When the last
one lets go it is idle, and the next parcel of about its size goes into it: to write into memory that was used
before takes half as long as into fresh memory.

*Anybody may let go anywhere*: finalizers run in the middle of anything, also of this file. So letting go only
appends to `_posted`; whoever holds the lock next counts. A call that comes while its own thread is in here (a
finalizer or a signal handler that sends something) gets no block, and its data goes another way.

*An exception may strike anywhere* (Ctrl-C). Each change is one store, and those that belong together come in
such an order that an interruption loses the use of a block until `close`, and never lends one twice.

*A block that was looked at by a process that forked* is never written again: the child may still be looking. It
was marked as spoiled, and is closed instead of idle; the memory lives as long as the child needs it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator

from phalanx._memory.blocks import Block, are_there
from phalanx._platform.memory import available

# Each block is a descriptor here, and one or two for each process that knows it, of which many systems allow 1024.
# A parent of eight workers has up to 96 of its own, 8 x 16 of theirs that are idle, and 2 x 64 that are mapped
# (`parcels.MOST_MAPPED`); what is on its way is a few for each.
MOST_BLOCKS = 96
MOST_IDLE = 16
# What idle blocks may keep of the memory that was available when the last block was made, and what they always
# may. Out of thin air; the first is meant to be little beside what the programs themselves need, and the second
# to hold one ordinary array each way.
_WARM_PART = 8
_WARM_LEAST = 64_000_000
_PAGE = 4096


class Entry:
    """A block and what is known of it."""

    __slots__ = ("block", "last_use", "users")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.users = 0
        self.last_use = 0


class Taker:
    """Whoever takes a block, so that the block has a user before there is a chance to forget it."""

    __slots__ = ("block_id",)

    def __init__(self) -> None:
        self.block_id = 0


class Depot:
    """Of one process; a child that is forked from it makes its own."""

    def __init__(self, most_blocks: int = MOST_BLOCKS, *, left: Callable[[], int | None] = available) -> None:
        self.refusals = 0
        """How often a block was asked for in vain."""
        self.shortage = 0
        """Bytes of the first block for which the system had no memory, or no descriptor; 0 while it had."""
        self.posted: deque[tuple[int, int]] = deque()
        """Changes in numbers of users that are not yet counted: (block id, by how many)."""
        self._most_blocks = most_blocks
        self._left = left
        self._lock = threading.RLock()
        self._entries: dict[int, Entry] = {}
        self._trimmed: deque[int] = deque()
        self._clock = 0
        self._warm = _WARM_LEAST
        self._process = os.getpid()
        self._closed = False

    def take(self, size: int, taker: Taker | None = None) -> Block | None:
        """A block of at least `size` bytes with one user, the caller; None if there is no memory for it.

        The taker learns the block's id in here, and should let go of it when it ends, whatever happened.
        """
        taker = taker or Taker()
        if self._process != os.getpid() or self._is_inside():
            return self._refuse()
        # No `return` with a call inside `with`: struck between the two, the lock would stay taken for ever.
        block: Block | None = None
        with self._lock:
            self._settle()
            entry = self._fitting(size)
            if entry is not None:
                block = _lend(entry, taker)
        if block is not None:
            return block
        block = self._make(rounded(size))
        if block is None:
            return self._refuse()
        with self._lock:
            if not self._closed:
                entry = Entry(block)
                self._entries[block.id] = entry
                _lend(entry, taker)
        return block if taker.block_id else self._refuse()

    def hold(self, block_id: int) -> None:
        """One more user, of a block that has at least one."""
        self.posted.append((block_id, 1))

    def let_go(self, block_id: int) -> None:
        """One user less. The id may be unknown."""
        self.posted.append((block_id, -1))
        if not self._is_inside():
            with self._lock:
                self._settle()

    def trimmed(self) -> list[int]:
        """Ids of blocks that were given up since the last call: whoever knows them shall forget them."""
        if not self._is_inside():
            with self._lock:
                self._settle()
        gone: list[int] = []
        while self._trimmed:
            gone.append(self._trimmed.popleft())
        return gone

    @property
    def lent_bytes(self) -> int:
        """The size of all blocks that have users."""
        return sum(entry.block.size for entry in self._counted() if entry.users > 0)

    @property
    def idle_bytes(self) -> int:
        """The size of all blocks that are kept warm."""
        return sum(entry.block.size for entry in self._counted() if entry.users <= 0)

    def close(self) -> None:
        """Give up all blocks; what was lent lives until its borrowers are done with it. Idempotent."""
        self._closed = True
        with self._lock:
            for entry in list(self._entries.values()):
                self._give_up(entry)

    # -- inside

    def _counted(self) -> list[Entry]:
        if not self._is_inside():
            with self._lock:
                self._settle()
        return list(self._entries.values())

    def _is_inside(self) -> bool:
        mine: bool = self._lock._is_owned()  # type: ignore[attr-defined]
        return mine

    def _refuse(self) -> Block | None:
        self.refusals += 1
        return None

    def _fitting(self, size: int) -> Entry | None:
        """The smallest idle block that is large enough, and not more than twice as large."""
        best = None
        for entry in self._idle():
            fits = size <= entry.block.size <= 2 * rounded(size)
            if fits and (best is None or entry.block.size < best.block.size):
                best = entry
        return best

    def _idle(self) -> Iterator[Entry]:
        return (entry for entry in self._entries.values() if entry.users <= 0)

    def _make(self, size: int) -> Block | None:
        """A new block, if it leaves others half of the memory that there is.

        Not under the lock: it may take long.
        """
        with self._lock:
            if len(self._entries) >= self._most_blocks:
                self._trim(self._warm, room_for=1)
            if len(self._entries) >= self._most_blocks:
                return None
        left = self._left()
        if left is not None and size > left // 2:
            with self._lock:
                self._trim(0)
            left = self._left()
            if left is not None and size > left // 2:
                self.shortage = self.shortage or size
                return None
        if left is not None:
            self._warm = max(left // _WARM_PART, _WARM_LEAST)
        try:
            return Block.make(size)
        except OSError:  # no memory, no descriptors, or forbidden
            self.shortage = self.shortage or (size if are_there() else 0)
            return None

    def _settle(self) -> None:
        """Count who has come and gone. Under the lock."""
        posted, freed = self.posted, False
        while posted:
            block_id, change = posted[0]
            entry = self._entries.get(block_id)
            if change < 0:
                posted.popleft()
            if entry is not None and entry.users + change >= 0:
                if not entry.users + change:
                    self._clock = entry.last_use = self._clock + 1
                    freed = True
                    if entry.block.is_spoiled:
                        self._give_up(entry)
                entry.users += change
            if change > 0:
                posted.popleft()
        if freed:
            self._trim(self._warm)

    def _trim(self, most_bytes: int, room_for: int = 0) -> None:
        """Give up the idle blocks that were not used for longest until the rest is no more."""
        idle = sorted(self._idle(), key=lambda entry: entry.last_use)
        size, number = sum(entry.block.size for entry in idle), len(idle)
        for entry in idle:
            too_many = number > MOST_IDLE or len(self._entries) + room_for > self._most_blocks
            if too_many or size > most_bytes:
                size, number = size - entry.block.size, number - 1
                self._give_up(entry)

    def _give_up(self, entry: Entry) -> None:
        # In this order: told twice does no harm.
        self._trimmed.append(entry.block.id)
        self._entries.pop(entry.block.id, None)
        entry.block.close()


def _lend(entry: Entry, taker: Taker) -> Block:
    # In this order: a taker that is interrupted before the block has a user lets go of one that has none.
    taker.block_id = entry.block.id
    entry.users = 1
    return entry.block


def rounded(size: int) -> int:
    """What is allocated for so many bytes: one of four sizes for each power of two, so that similar ones reuse it."""
    step = max(1 << max((size - 1).bit_length() - 3, 0), _PAGE)
    return -(-size // step) * step
