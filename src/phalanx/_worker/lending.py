"""A worker's large results, lent in blocks of shared memory, and what it has borrowed of its parent.

The parent's side, and the theory, stand in `_engine/lending.py`. Loaded when a worker first has something large to
send or to open.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

from phalanx._memory import Borrowed, Depot, Loan, Parcel, lend_pickle, pack, shared
from phalanx._wire import frames
from phalanx._wire.frames import EACH, HANDLES, LENT, TICKET_BYTES, WHOLE, WHOLE_LENT, BatchMessage

if TYPE_CHECKING:
    from collections.abc import Callable


class Lending:
    """What one worker lends and borrows."""

    def __init__(self, announce: Callable[[bytes, int], bool]) -> None:
        """`announce` sends a `BLOCK` frame with its descriptor, or says that this is refused."""
        self._announce = announce
        self._depot = Depot()
        self._known: set[int] = set()
        self._lent: dict[int, Loan] = {}
        self._tickets = count(1)
        self._returned: deque[int] = deque()
        self._made: dict[int, ref[Any]] = {}
        """Memories of arrays that the parent was told of, by the numbers of their blocks."""
        self._gone: deque[int] = deque()
        """Those of them that have ended."""
        self._parted: list[int] = []
        """Handles that the parent has forgotten, and of which it is to hear that we have, too."""
        self._has_complained = False
        self._borrowed = Borrowed(self._returned)

    # -- results ------------------------------------------------------------------------------------------

    def value(self, dumps: Callable[..., bytes], value: Any) -> tuple[int, bytes]:
        """Tag bits and bytes of a value. What `dumps` raises comes through."""
        if not shared.handles_alive():
            return self._sent(dumps, value, pack(dumps, value, self._depot))
        with shared.gathering(result=True) as found:
            packed = pack(dumps, value, self._depot)
            while not all(map(self._is_known, found)):
                found.clear()
                packed = pack(dumps, value, self._depot)
            bits, data = self._sent(dumps, value, packed)
        if not found:
            return bits, data
        return bits | HANDLES, frames.pack_handles([handle.number for handle in found], data)

    def _sent(self, dumps: Callable[..., bytes], value: Any, packed: bytes | Loan) -> tuple[int, bytes]:
        if type(packed) is Loan:
            data = self._send(packed, self._announce)
            return (0, dumps(value, 5)) if data is None else (LENT, data)
        return 0, packed  # type: ignore[return-value]

    def _is_known(self, memory: Any) -> bool:
        """Whether the parent knows this memory of arrays, being told of it now if need be; if not, it stays here."""
        block = memory.block
        if memory.is_borrowed or block.id in self._made:
            return True
        if self._announce(frames.pack_block(block.id, block.size), block.descriptor):
            gone, number = self._gone, block.id
            self._made[number] = ref(memory, lambda _: gone.append(number))
            return True
        memory.stays = True
        return False

    def pickled(self, data: bytes, announce: Callable[[bytes, int], bool]) -> bytes | None:
        """The same for what is large and pickled already; None if it has to go as it is."""
        loan = lend_pickle(data, self._depot)
        return None if loan is None else self._send(loan, announce)

    def _send(self, loan: Loan, announce: Callable[[bytes, int], bool]) -> bytes | None:
        block = loan.block
        if block.id not in self._known:
            if not announce(frames.pack_block(block.id, block.size), block.descriptor):
                return None
            self._known.add(block.id)
        ticket = next(self._tickets)
        self._lent[ticket] = loan
        return ticket.to_bytes(TICKET_BYTES, "little") + loan.data

    def take_back(self, tickets: list[int]) -> None:
        """The parent is through with these."""
        for ticket in tickets:
            self._lent.pop(ticket, None)

    # -- items --------------------------------------------------------------------------------------------

    def learn(self, block: int, size: int, descriptor: int) -> None:
        """The parent has announced a block."""
        if descriptor >= 0:
            self._borrowed.learn(block, size, descriptor)

    def forget_shares(self, numbers: list[int]) -> None:
        """The handles with these numbers are gone. Results may have named them until now: the parent is answered."""
        shared.forget(numbers)
        self._parted += numbers

    def forget(self, blocks: list[int]) -> None:
        """The parent has given these up."""
        for block in blocks:
            self._borrowed.forget(block)

    def remember(self, number: int, form: int, data: memoryview) -> None:
        """From now on a handle with this number stands for this."""
        if form == frames.BLOCK_ITSELF:
            block = self._borrowed.give_up(number)
            if block is not None:  # else it did not arrive, and who asks for it learns that
                shared.remember_array(number, block)
        else:
            shared.remember(number, self.opened(data) if form == frames.PICKLED_IN_BLOCK else bytes(data))

    def open(self, message: BatchMessage) -> None:
        """Make parcels of what is lent in a batch; they are returned when the message is gone, run or not."""
        if message.form == WHOLE_LENT:
            message.form, message.body = WHOLE, self.opened(message.body)
        elif message.form == EACH:
            message.body = [
                (tag & ~LENT, self.opened(data)) if tag & LENT else (tag, data) for tag, data in message.body
            ]

    def opened(self, data: memoryview) -> Parcel | Missing:
        """What is lent under the ticket in front of it."""
        try:
            return self._borrowed.open(data[TICKET_BYTES:], int.from_bytes(data[:TICKET_BYTES], "little"))
        except KeyError as error:
            return Missing(error)

    def notes(self) -> bytes:
        """Frames that tell the parent what is returned to it, and which blocks it need not know any more."""
        notes, returned = b"", self._returned
        if returned:
            notes += frames.pack_ids(frames.RETURNED, [returned.popleft() for _ in range(len(returned))])
        if self._parted:
            parted, self._parted = self._parted, []
            notes += frames.pack_ids(frames.FORGET_SHARE, parted)
        if self._depot.shortage and not self._has_complained:
            self._has_complained = True
            notes += frames.pack_number(frames.NO_BLOCK, self._depot.shortage)
        gone = self._depot.trimmed()
        while self._gone:
            number = self._gone.popleft()
            self._made.pop(number, None)
            gone.append(number)
        if gone:
            self._known.difference_update(gone)
            notes += frames.pack_ids(frames.FORGET_BLOCK, gone)
        return notes


class Missing:
    """Stands for a parcel whose block could not be had: whoever wants what is in it learns why."""

    def __init__(self, error: KeyError) -> None:
        self._why = str(error.args[0])

    def load(self, writable: bool = True) -> Any:
        """Raises OSError."""
        raise OSError(
            f"a large object did not arrive: {self._why}. Perhaps no descriptors are left (ulimit -n)"
        )
