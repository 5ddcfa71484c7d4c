"""Large objects on their way: lent to workers in blocks of shared memory, and borrowed from them.

Theory of operation. What is packed for a worker is bytes, or a `Loan`: bytes that name a block, which stays in use
as long as the loan lives. Each time that a loan is sent it gets a *ticket*, a number that travels in front of its
bytes, and the worker's table of what it was lent keeps the loan under it. The worker returns the ticket when
nothing that it has made of it is left; then, or when the worker is dead, the loan leaves the table. Returning a
ticket twice does no harm. A block is announced, with its descriptor, to each worker that has not seen it.

The other way round it is the same: results that a worker lends are opened as they come, and their tickets go back
with the next batch, once what was made of them is gone: a finalizer only notes that.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import ref

from phalanx._memory import Block, Borrowed, Depot, Loan, Parcel
from phalanx._memory.shared import Handle, Laden, Shared
from phalanx._transport import Outgoing
from phalanx._wire import frames
from phalanx._wire.failures import encode_error
from phalanx._wire.frames import (
    EACH,
    ERROR,
    HANDLES,
    LENT,
    TICKET_BYTES,
    WHOLE,
    WHOLE_LENT,
    BatchMessage,
    Piece,
    ResultsMessage,
)
from phalanx._wire.pickling import decode

if TYPE_CHECKING:
    from phalanx._engine.tally import Tally
    from phalanx._engine.workers import Worker


# Among what was done of a message: a batch has no such number.
_LEARNT = -1


class Bound:
    """A packed result, with the blocks of the shared arrays in it."""

    __slots__ = ("_blocks", "_data")

    def __init__(self, data: Any, blocks: list[Block]) -> None:
        self._data: Any = data if type(data) is Parcel else bytes(data)
        self._blocks = blocks

    def load(self) -> Any:
        """Rebuild it."""
        from phalanx._memory.arrays import memory_over  # not under the lock: it may bring NumPy

        memories = list(map(memory_over, self._blocks))
        try:
            return self._data.load() if type(self._data) is Parcel else decode(self._data)
        finally:
            del memories  # until now there may have been nobody else who keeps them


class Load:
    """What a message needs to have been told of: loans with their tickets, and handles."""

    __slots__ = ("handles", "loans")

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.loans: list[tuple[int, Loan]] = []

    def __bool__(self) -> bool:
        return bool(self.handles or self.loans)


class Lending:
    """What one engine lends and borrows. Under the engine's lock, but for `pack`."""

    def __init__(self) -> None:
        self.depot = Depot()
        self.in_use = False
        """Whether anything was ever lent or borrowed; until then there is nothing to do for a message."""
        self.lent_out = 0
        """Bytes that workers have lent."""
        self._returned: deque[tuple[int, int]] = deque()
        self._borrowed = Borrowed(self._returned)
        self._tickets = count(1)

    # -- lending ------------------------------------------------------------------------------------------

    def put_in(self, message: BatchMessage, functions: list[tuple[int, Any]]) -> Load:
        """Put plain bytes where the message and the functions are more than that; returns what they need."""
        load = Load()
        functions[:] = [
            self._piece(number, self._unladen(payload, load), load) for number, payload in functions
        ]
        if message.form == WHOLE_LENT or type(message.body) is Laden:
            message.body = self._put(self._unladen(message.body, load), load)
        elif message.form == EACH:
            message.body = [self._piece(tag, self._unladen(data, load), load) for tag, data in message.body]
        return load

    def _unladen(self, data: Any, load: Load) -> Any:
        if type(data) is not Laden:
            return data
        load.handles += data.handles
        return data.packed

    def _piece(self, tag: int, data: Any, load: Load) -> Piece:
        return (tag | LENT, self._put(data, load)) if type(data) is Loan else (tag, data)

    def _put(self, data: Any, load: Load) -> bytes:
        if type(data) is not Loan:
            return data  # type: ignore[no-any-return]
        ticket = next(self._tickets)
        load.loans.append((ticket, data))
        return ticket.to_bytes(TICKET_BYTES, "little") + data.data

    def announce(self, worker: Worker, load: Any, tally: Tally) -> list[Outgoing]:
        """Note what the worker gets; returns what has to be sent before the message that needs it."""
        entries: list[Outgoing] = []
        for handle in load.handles:
            if handle.number not in worker.shares:
                entries += self._share(worker, handle)
                packed = handle.packed if type(handle) is Shared else None
                tally.lent_in += packed.size if type(packed) is Loan else 0
                worker.shares[handle.number] = ref(handle)
                if type(handle) is not Shared:
                    # A result may name it until the worker has said that it has forgotten the handle.
                    worker.arrays[handle.number] = handle.block
        for ticket, loan in load.loans:
            entries += self._announce_block(worker, loan.block)
            worker.lent[ticket] = loan
            tally.lent_in += loan.size
        return entries

    def _share(self, worker: Worker, handle: Any) -> list[Outgoing]:
        if type(handle) is not Shared:
            entry = Outgoing(frames.pack_share(handle.number, frames.BLOCK_ITSELF, b""))
            return [*self._announce_block(worker, handle.block), entry]
        packed = handle.packed
        if type(packed) is not Loan:
            return [Outgoing(frames.pack_share(handle.number, frames.PICKLED, packed))]  # type: ignore[arg-type]
        ticket = next(self._tickets)
        worker.lent[ticket] = packed
        data = ticket.to_bytes(TICKET_BYTES, "little") + packed.data
        entry = Outgoing(frames.pack_share(handle.number, frames.PICKLED_IN_BLOCK, data))
        return [*self._announce_block(worker, packed.block), entry]

    def _announce_block(self, worker: Worker, block: Block) -> list[Outgoing]:
        if block.id in worker.blocks:
            return []
        worker.blocks.add(block.id)
        return [Outgoing(frames.pack_block(block.id, block.size), descriptor=block.descriptor, holds=block)]

    def take_back(self, worker: Worker, tickets: list[int]) -> None:
        """The worker is through with these."""
        for ticket in tickets:
            worker.lent.pop(ticket, None)

    # -- borrowing ----------------------------------------------------------------------------------------

    def learn(self, worker: Worker, block: int, size: int, descriptor: int) -> None:
        """The worker has announced a block."""
        self.in_use = True
        # Told twice, because an exception struck, it has the same descriptor; what was told after it, that the worker
        # has given it up, may have been dealt with, too.
        key = (_LEARNT, block)
        if key in worker.opened:
            return
        worker.lends.add(block)
        if descriptor >= 0:
            self._borrowed.learn(block, size, descriptor)
        worker.opened[key] = None

    def open(self, worker: Worker, message: ResultsMessage) -> None:
        """Make parcels of what the worker lends in its results."""
        batch, first = message.batch, message.first
        if message.form == WHOLE_LENT:
            message.form, message.body = WHOLE, self._open(worker, (batch, first), message.body)
        elif message.form == EACH:
            message.body = [
                self._opened(worker, (batch, first, at), piece) for at, piece in enumerate(message.body)
            ]

    def _opened(self, worker: Worker, key: tuple[int, ...], piece: Piece) -> Piece:
        tag, data = piece
        blocks: list[Block] = []
        try:
            if tag & HANDLES:
                numbers, data = frames.unpack_handles(data)
                blocks = [self._known_block(worker, number) for number in numbers]
            if tag & LENT:
                data = self._open(worker, key, data)
        except KeyError as error:
            why = f"{error.args[0]}. Perhaps no descriptors are left (ulimit -n)"
            return ERROR, encode_error(OSError(f"a large result did not arrive: {why}"), "", "")
        return tag & ~LENT & ~HANDLES, Bound(data, blocks) if blocks else data

    def _known_block(self, worker: Worker, number: int) -> Block:
        """That of arrays: one that the worker was told of, or one that it has told of."""
        block = worker.arrays.get(number) or self._borrowed.block(number)
        if block is None:
            raise KeyError(f"block {number}, of a shared array, was never announced here")
        return block

    def _open(self, worker: Worker, key: tuple[int, ...], data: memoryview) -> Parcel:
        # A message that is dealt with twice, because an exception struck, is opened once. A parcel that was lost to
        # one has not bound anybody: else its end would be told, and the worker write into what the second one shows.
        parcel = worker.opened.get(key)
        if parcel is None:
            token = (worker.identity.worker, int.from_bytes(data[:TICKET_BYTES], "little"))
            parcel = worker.opened[key] = self._borrowed.open(data[TICKET_BYTES:], token, binding=False)
            self.lent_out += parcel.size
        parcel.bind()
        return parcel

    def forget_shares(self, worker: Worker, numbers: list[int]) -> None:
        """No result of the worker's will name these any more, unless it is told of them anew."""
        for number in numbers:
            if number not in worker.shares:
                worker.arrays.pop(number, None)

    def forget(self, worker: Worker, blocks: list[int]) -> None:
        """The worker has given these up."""
        for block in blocks:
            worker.lends.discard(block)
            self._borrowed.forget(block)

    # -- what goes with the next batch -----------------------------------------------------------------------

    def notes(self, worker: Worker, workers: dict[int, Worker]) -> bytes:
        """Frames that tell the worker what is returned to it, and which blocks it need not know any more."""
        returned = self._returned
        while returned:
            number, ticket = returned.popleft()
            owner = workers.get(number)
            if owner is not None:
                owner.owed.append(ticket)
        for block in self.depot.trimmed():
            for each in workers.values():
                if block in each.blocks:
                    each.blocks.discard(block)
                    each.outdated.append(block)
        notes = b""
        if worker.shares:
            gone = [number for number, handle in worker.shares.items() if handle() is None]
            if gone:
                for number in gone:
                    del worker.shares[number]
                    worker.blocks.discard(number)
                notes += frames.pack_ids(frames.FORGET_SHARE, gone)
        if worker.owed:
            tickets, worker.owed = worker.owed, []
            notes += frames.pack_ids(frames.RETURNED, tickets)
        if worker.outdated:
            blocks, worker.outdated = worker.outdated, []
            notes += frames.pack_ids(frames.FORGET_BLOCK, blocks)
        return notes

    def part_from(self, worker: Worker) -> None:
        """The worker is gone: it uses nothing any more, and lends nothing new."""
        worker.lent.clear()
        worker.opened.clear()
        worker.arrays.clear()
        while worker.lends:
            self._borrowed.forget(worker.lends.pop())

    def close(self) -> None:
        """The engine has ended; results that are still in use keep their memory."""
        self.depot.close()
        self._borrowed.close()
