"""A parcel: one object, packed by a lender and rebuilt by a borrower, with its large parts in a block.

The lender copies what is large into a block of its depot once, and sends a few bytes that say what lies where: the
`Loan`, which keeps the block in use as long as it lives. The borrower looks at the block through a private mapping,
out of which the large buffers of the object are made: writable, and nobody else's. It keeps a *lease*; when the
last object that shares the mapping is gone, so is the lease, and says so in `returned`. Finalizers may run
anywhere, also under somebody's lock, so each does nothing but append.

Whether to map or to copy out is the borrower's choice. What is small is copied, for that is faster than to map
it; so is everything once many mappings are alive: a program that keeps all its results would otherwise keep all
the blocks of its workers, and descriptors without end. Either way the objects are the same.

*Forked children* have copies of the mappings, and what they or their parent write is their own; but what both have
not touched is still the block. So a lease that saw its process fork marks the block as spoiled: the lender will not
write into it again, and the child goes on seeing what was there.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable
from itertools import chain
from struct import Struct
from typing import Any

from phalanx._memory.blocks import Block
from phalanx._memory.depot import Depot, Taker
from phalanx._memory.letting_go import let_go
from phalanx._memory.repeats import Repeats

PROTOCOL = 5
# The least size of a buffer that goes into a block. Measured: one array, from one process to another and looked at
# there, through a socketpair and by a warm block, 32 KB: 22 and 43 us, 64 KB: 60 and 49, 1 MB: 1190 and 315.
THRESHOLD = 1 << 16
# The same of a pickle, which has to be copied on either way. Measured with `bytes` likewise: 128 KB: 22 and 44 us,
# 256 KB: 54 and 80, 512 KB: 165 and 167, 4 MB: 5000 and 2400. Somewhat less than where both cost the same, because
# a socket is full with 200 KB, and its writer has to come back for the rest.
LARGE = 1 << 18
# The least size, and the largest number of mappings, of what is mapped and not copied out. To map, read once and
# unmap 64, 256, 1024 KB took 13, 18, 54 us, to copy out and read 6, 19, 100 us. The number is less than a depot
# may have of blocks, so that some go on circulating when all these are kept; each may cost two descriptors.
MAPPED_FROM = 1 << 18
MOST_MAPPED = 64
# Where each buffer begins: what vector instructions like best, and a line of the processor's cache.
_ALIGNMENT = 64
# Block, where the pickle begins and its size (0: it stands behind the spans), number of spans; then begin and size
# of each.
_HEAD = Struct("<QQQQ")

Dumps = Callable[..., bytes]


class Loan(Taker):
    """An object in a block, as its lender holds it. `data` is what travels."""

    __slots__ = ("_posted", "block", "data", "size")

    block: Block

    def __init__(self, depot: Depot) -> None:
        self._posted = depot.posted
        self.data = b""
        self.size = 0
        """Bytes that lie in the block."""
        super().__init__()

    def __del__(self) -> None:
        if getattr(self, "block_id", 0):
            self._posted.append((self.block_id, -1))


def pack(dumps: Dumps, obj: Any, depot: Depot, repeats: Repeats | None = None) -> bytes | Loan:
    """Pickle, with what is large in a block of the depot; plain bytes if nothing is, or if there is no block.

    `dumps` is `pickle.dumps`, or a function that is called and behaves like it; it may be called twice. What it
    raises comes through. `repeats`: what earlier parts of the same sequence had in them.

    A pickle that is large itself is copied into the block from `bytes`. Pickling right into the block would save
    that copy, but has to be chosen before the size is known, and costs small objects, which nearly all are, ten
    times of what they cost now. The one case that is known beforehand is a lone `bytes` or `bytearray`.
    """
    if type(obj) in _FLAT and len(obj) >= LARGE:
        obj = _Flat(obj)
    buffers = Offered()
    data = dumps(obj, PROTOCOL, buffer_callback=buffers)
    if not buffers and len(data) < LARGE:
        return data
    loan = _lend(data, buffers, depot, repeats)
    if loan is not None:
        return loan
    if type(obj) is _Flat:
        obj = obj.content
    return dumps(obj, PROTOCOL) if buffers else data


class Offered(list[memoryview]):
    """The buffers that go to the block. Called with each that the object offers; true if it stays in the pickle.

    A list that can be called: to make this costs half as much as a list and a function that knows it, and it is
    made for each of the small objects, too.
    """

    __slots__ = ()

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: pickle says what it says of it
            return True
        if raw.nbytes < THRESHOLD:
            return True
        self.append(raw)
        return False


class _Flat:
    """Bytes that are offered as a buffer, which they do not do by themselves."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self.content), (pickle.PickleBuffer(self.content),)


_FLAT = frozenset((bytes, bytearray))


def lend_pickle(data: bytes, depot: Depot) -> Loan | None:
    """Put a pickle that is large into a block; None if there is none."""
    return _lend(data, [], depot)


def _lend(
    data: bytes, buffers: list[memoryview], depot: Depot, repeats: Repeats | None = None
) -> Loan | None:
    """Put the buffers, and the pickle if it is large, into a block."""
    if repeats is not None and buffers and len(data) < LARGE:
        found = repeats.find(buffers)
        if found is not None:
            return _lend_again(data, *found, depot)
    spans: list[tuple[int, int]] = []
    end = 0
    for buffer in buffers:
        spans.append((end, buffer.nbytes))
        end = -(-(end + buffer.nbytes) // _ALIGNMENT) * _ALIGNMENT
    inside = len(data) >= LARGE
    loan = Loan(depot)
    block = depot.take(end + len(data) * inside, loan)
    if block is None:
        return None
    try:
        for buffer, (begin, _) in zip(buffers, spans, strict=True):
            block.write(buffer, begin)
        if inside:
            block.write(data, end)
    except OSError:  # the memory went to somebody else meanwhile; the loan gives the block back
        return None
    loan.block = block
    loan.size = end + len(data) * inside
    head = _head(block, spans, end, len(data) * inside)
    loan.data = head if inside else head + data
    if repeats is not None and buffers:
        repeats.keep(loan, buffers, spans)
    return loan


def _lend_again(data: bytes, first: Loan, spans: list[tuple[int, int]], depot: Depot) -> Loan:
    """A second loan of what lies in a block that is lent already."""
    loan = Loan(depot)
    depot.hold(first.block.id)
    loan.block_id = first.block.id
    loan.block = first.block
    end = max(begin + size for begin, size in spans)
    loan.data = _head(loan.block, spans, end, 0) + data
    return loan


def _head(block: Block, spans: list[tuple[int, int]], end: int, size: int) -> bytes:
    """What lies where; the pickle begins at `end` and is so large, or stands behind this."""
    table = Struct(f"<{2 * len(spans)}Q").pack(*chain.from_iterable(spans))
    return _HEAD.pack(block.id, end, size, len(spans)) + table


class Lease:
    """The right to look at a block as it is; its end is told to `returned`."""

    __slots__ = ("_forks", "_mapped", "_returned", "_token", "block", "is_binding")

    def __init__(self, block: Block, token: Any, returned: deque[Any], mapped: set[int]) -> None:
        self.block = block
        self.is_binding = True
        """Whether its end is told. Not before whoever opens a parcel, and may be struck, has put it in its place."""
        self._token = token
        self._mapped = mapped
        self._forks = _forks[0]
        self._returned = returned

    def __del__(self, let_go: Callable[[int], object] = let_go) -> None:
        if not hasattr(self, "_returned"):  # an exception may strike even before all is stored
            return
        if not self.is_binding:
            return
        if self._forks != _forks[0]:
            self.block.spoil()
        self._mapped.discard(id(self))
        self._returned.append(self._token)
        let_go(self.block.size)

    def map(self) -> memoryview | None:
        """Look at the block through a new private mapping, which keeps the lease while it is in use.

        None if there are too many already, for us or for the system: a mapping takes a descriptor, a copy none.
        """
        if len(self._mapped) >= MOST_MAPPED:
            return None
        try:
            window = self.block.window()
        except OSError:
            return None
        window.lease = self
        self._mapped.add(id(self))
        return memoryview(window)


class Parcel:
    """What a borrower was sent; keeps the lease as long as it lives."""

    __slots__ = ("_data", "_lease")

    def __init__(self, data: bytes, lease: Lease) -> None:
        self._data = data
        self._lease = lease

    @property
    def size(self) -> int:
        """Bytes that lie in the block."""
        _, begin, size, _ = _HEAD.unpack_from(self._data)
        return int(begin + size)

    def bind(self) -> None:
        """From now on the end of the lease will be told."""
        self._lease.is_binding = True

    def load(self, writable: bool = True) -> Any:
        """Rebuild the object. Each call makes one that shares nothing with the others.

        `writable`: whether arrays may be written to, as after ordinary pickling.
        """
        data, lease = self._data, self._lease
        _, begin, size, count = _HEAD.unpack_from(data)
        numbers = Struct(f"<{2 * count}Q").unpack_from(data, _HEAD.size)
        spans = list(zip(numbers[::2], numbers[1::2], strict=True))
        whole = lease.map() if begin + size >= MAPPED_FROM else None
        if whole is not None:
            buffers: list[Any] = [whole[at : at + length] for at, length in spans]
            pickled: Any = whole[begin : begin + size]
        else:
            buffers = [_copy(lease.block, at, length) for at, length in spans]
            pickled = _copy(lease.block, begin, size)
        if not writable:
            buffers = [memoryview(each).toreadonly() for each in buffers]
        if not size:
            pickled = memoryview(data)[_HEAD.size + 16 * count :]
        return pickle.loads(pickled, buffers=buffers)


def _copy(block: Block, begin: int, size: int) -> bytearray:
    target = bytearray(size)
    block.read_into(target, begin)
    return target


class Borrowed:
    """The blocks that this process was told of.

    For each `open` its token (the block's id, unless another was given) comes into `returned` once: when the
    parcel is gone, and everything that was made of it and shares its memory.
    """

    def __init__(self, returned: deque[Any]) -> None:
        self._returned = returned
        self._blocks: dict[int, Block] = {}
        self._mapped: set[int] = set()
        """Leases with mappings, by `id`: the call that removes one is one step of C."""

    def learn(self, block_id: int, size: int, descriptor: int) -> None:
        """A block was announced. The descriptor is ours from now on; a second one for the same block is closed.

        If an exception strikes in here, the same may be told again, with the same number.
        """
        # Known first: a block that nobody knows would close the descriptor when it goes.
        block = self._blocks.get(block_id) or self._blocks.setdefault(block_id, Block(block_id, size))
        block.take_over(descriptor)

    def block(self, block_id: int) -> Block | None:
        """The block itself, if it was announced and not forgotten."""
        return self._blocks.get(block_id)

    def open(self, data: bytes | memoryview, token: Any = None, *, binding: bool = True) -> Parcel:
        """Begin a lease of what `Loan.data` names; if not `binding`, its end is told only if `bind` was called."""
        data = bytes(data)  # not a view: it would keep all that came together with it
        block_id = _HEAD.unpack_from(data)[0]
        block = self._blocks.get(block_id)
        if block is None:
            raise KeyError(
                f"block {block_id} of shared memory was never announced here, or is forgotten: "
                "it has to be announced before what lies in it can be opened"
            )
        lease = Lease(block, block_id if token is None else token, self._returned, self._mapped)
        lease.is_binding = binding
        return Parcel(data, lease)

    def give_up(self, block_id: int) -> Block | None:
        """The block itself, for whoever takes it over; None if it was not announced."""
        return self._blocks.pop(block_id, None)

    def forget(self, block_id: int) -> None:
        """The lender has given the block up, or is gone. Open parcels, and what is made of them, stay as they are."""
        self._blocks.pop(block_id, None)

    def close(self) -> None:
        """Forget all blocks."""
        self._blocks.clear()


# Is another number after each fork of this process. It changes before, for leases that end meanwhile, and after,
# for those that begin meanwhile, in another thread.
_forks = [0]


def _count_fork() -> None:
    _forks[0] += 1


os.register_at_fork(before=_count_fork, after_in_parent=_count_fork)
