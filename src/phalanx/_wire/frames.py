"""Frames and messages: bytes in, messages out.

A frame is one 8-byte little-endian word, the kind in its top byte and the length of the body in the other
seven, followed by the body. A side that has half a frame keeps it until the rest has come; nothing in here
reads or writes anything.

Parent to worker: `FUNCTION` (what a number stands for), `FORGET`, `BATCH` (items to run), `STOP`.
Worker to parent: `READY`, `START_FAILED`, `RESULTS` (outcomes of consecutive items of one batch),
`UNDECODABLE` (the items of a batch could not be read), `WANT` (a name that its `__main__` lacks, and waits for; the
answer is a `DEFINITION`), `OUTPUT` (what a task has printed or logged).
Either way: `BLOCK` (a block of shared memory from now on has a number here; its descriptor travels with the
first byte of this frame), `RETURNED` (who borrowed these blocks is through with them), `FORGET_BLOCK` (these
numbers will not be used again).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

FUNCTION, FORGET, BATCH, STOP, READY, START_FAILED, RESULTS, UNDECODABLE = range(1, 9)
BLOCK, RETURNED, FORGET_BLOCK, SHARE, FORGET_SHARE = range(9, 14)
WANT, DEFINITION, OUTPUT = range(14, 17)
NO_BLOCK = 17

# How an item is handed to its function.
SINGLE, STAR, CALL = range(3)  # fn(item), fn(*item), fn(*item[0], **item[1])

# How items or outcomes lie in a body. Of calls, `WHOLE` has the positional arguments of each, for one function.
WHOLE, EACH = range(2)  # one pickle of a sequence, or one piece per item with its tag
WHOLE_LENT = (
    4  # as `WHOLE`, its pickle lying in a block; 2 and 3 are what the parent makes of these for itself
)
INHERITED = 8  # not at all: the worker was forked when they existed

# Tags of pieces. In a batch of calls a smaller number names the function; 0 says that the piece brings its own.
OWN_FUNCTION = 0
VALUE, ERROR, SKIPPED, RETRYABLE = ((1 << 63) + n for n in range(4))
# And within a worker: a call's positional arguments themselves, for the function of the batch.
LOADED = RETRYABLE + 1
# Added to any of these: the data of the piece names a block that holds the rest. Numbers of functions are smaller.
LENT = 1 << 62
HANDLES = 1 << 61  # the piece's data begins with the numbers of handles that it needs
TICKET_BYTES = 8  # what is lent begins with the number under which it is returned

_WORD = Struct("<Q")
_BATCH = Struct("<QQQIIBB")
_ONE_CALL = Struct("<QQQQIIBBQQ")  # header, batch head and the table of one piece
_RESULTS = Struct("<QIIQBB")
_RESULTS_FRAME = Struct("<QQIIQBB")  # the same with its header
_BLOCK = Struct("<QQ")
_BODY = (1 << 56) - 1
HEADER_SIZE = _WORD.size
_BLOCK_FRAME_SIZE = HEADER_SIZE + _BLOCK.size

Piece = tuple[int, Any]
"""A tag, and the bytes (or, within one process, the object) that it tells about."""


class BatchMessage:
    """Items of one job for one worker: `count` of them from index `start` of the job.

    `body`: for form `WHOLE`, a pickled sequence; for `EACH`, pieces; within one process, objects for pickles.
    """

    __slots__ = ("batch", "body", "count", "form", "function", "seq", "start", "style")

    def __init__(
        self, batch: int, seq: int, start: int, count: int, function: int, style: int, form: int, body: Any
    ) -> None:
        self.batch = batch
        self.seq = seq
        self.start = start
        self.count = count
        self.function = function
        self.style = style
        self.form = form
        self.body = body


class ResultsMessage:
    """Outcomes of `count` consecutive items of a batch, the first being its `first`-th.

    `nanoseconds`: what the worker has spent on this batch until now. `ended`: no more outcomes of this batch will
    come; items without one were handed back.
    """

    __slots__ = ("batch", "body", "count", "ended", "first", "form", "nanoseconds")

    def __init__(
        self, batch: int, first: int, count: int, nanoseconds: int, form: int, ended: bool, body: Any
    ) -> None:
        self.batch = batch
        self.first = first
        self.count = count
        self.nanoseconds = nanoseconds
        self.form = form
        self.ended = ended
        self.body = body


def pack_frame(kind: int, *parts: bytes) -> bytes:
    """One frame whose body is the parts, one after another."""
    length = sum(map(len, parts))
    return b"".join((_WORD.pack(kind << 56 | length), *parts))


def frame_size(head: bytes | bytearray) -> int:
    """Bytes of the frame that starts with `head`, or 0 while `head` is too short to tell."""
    if len(head) < HEADER_SIZE:
        return 0
    word: int = _WORD.unpack_from(head)[0]
    return HEADER_SIZE + (word & _BODY)


def split_frames(data: bytes | bytearray) -> tuple[list[tuple[int, memoryview]], int]:
    """The whole frames at the start of `data` as `(kind, body)`, and how many bytes they take up."""
    view, offset, size = memoryview(data), 0, len(data)
    if size >= HEADER_SIZE:
        word: int = _WORD.unpack_from(data)[0]
        if size == HEADER_SIZE + (word & _BODY):
            return [(word >> 56, view[HEADER_SIZE:])], size
    frames: list[tuple[int, memoryview]] = []
    while size - offset >= HEADER_SIZE:
        word = _WORD.unpack_from(data, offset)[0]
        end = offset + HEADER_SIZE + (word & _BODY)
        if end > size:
            break
        frames.append((word >> 56, view[offset + HEADER_SIZE : end]))
        offset = end
    return frames, offset


def pack_pieces(pieces: Sequence[Piece]) -> list[bytes]:
    """Pieces as parts of a body: first a table of tags and lengths, then the bytes."""
    if not pieces:
        return [b""]
    tags, parts = zip(*pieces, strict=True)
    table = array("Q", [0]) * (2 * len(pieces))
    table[::2] = array("Q", tags)
    table[1::2] = array("Q", list(map(len, parts)))
    return [table.tobytes(), *parts]


def unpack_pieces(body: memoryview, count: int) -> list[Piece]:
    """The inverse of `pack_pieces`."""
    offset = 16 * count
    if count == 1:
        return [(_WORD.unpack_from(body)[0], body[16:])]
    table = array("Q", body[:offset].tobytes()).tolist()
    pieces: list[Piece] = []
    for tag, length in zip(table[::2], table[1::2], strict=True):
        end = offset + length
        pieces.append((tag, body[offset:end]))
        offset = end
    return pieces


def pack_batch(message: BatchMessage) -> bytes:
    """A `BATCH` frame."""
    body = message.body
    if message.form == EACH and message.count == 1:
        # One call there and back: worth a way of its own.
        tag, data = body[0]
        size = len(data)
        length = _ONE_CALL.size - HEADER_SIZE + size
        head = _ONE_CALL.pack(
            BATCH << 56 | length,
            message.batch,
            message.seq,
            message.start,
            1,
            message.function,
            message.style,
            EACH,
            tag,
            size,
        )
        return head + data  # type: ignore[no-any-return]
    head = _BATCH.pack(
        message.batch,
        message.seq,
        message.start,
        message.count,
        message.function,
        message.style,
        message.form,
    )
    parts: Iterable[bytes] = pack_pieces(body) if message.form == EACH else (body,)
    return pack_frame(BATCH, head, *parts)


def unpack_batch(body: memoryview) -> BatchMessage:
    """The message in the body of a `BATCH` frame; its items are still bytes."""
    batch, seq, start, count, function, style, form = _BATCH.unpack_from(body)
    rest = body[_BATCH.size :]
    items: Any = unpack_pieces(rest, count) if form == EACH else rest
    return BatchMessage(batch, seq, start, count, function, style, form, items)


def pack_results(message: ResultsMessage) -> bytes:
    """A `RESULTS` frame."""
    body = message.body
    if message.form == EACH:
        pieces = pack_pieces(body)
        length = _RESULTS_FRAME.size - HEADER_SIZE + sum(map(len, pieces))
    else:
        pieces = [body]
        length = _RESULTS_FRAME.size - HEADER_SIZE + len(body)
    head = _RESULTS_FRAME.pack(
        RESULTS << 56 | length,
        message.batch,
        message.first,
        message.count,
        message.nanoseconds,
        message.form,
        message.ended,
    )
    return b"".join((head, *pieces))


def unpack_results(body: memoryview) -> ResultsMessage:
    """The message in the body of a `RESULTS` frame; its outcomes are still bytes."""
    batch, first, count, nanoseconds, form, ended = _RESULTS.unpack_from(body)
    rest = body[_RESULTS.size :]
    outcomes: Any = unpack_pieces(rest, count) if form == EACH else rest
    return ResultsMessage(batch, first, count, nanoseconds, form, bool(ended), outcomes)


def pack_function(number: int, payload: bytes) -> bytes:
    """A `FUNCTION` frame: from now on `number` stands for the pickled callable."""
    return pack_frame(FUNCTION, _WORD.pack(number), payload)


def pack_forget(number: int) -> bytes:
    """A `FORGET` frame: `number` will not be used again."""
    return pack_frame(FORGET, _WORD.pack(number))


def unpack_function(body: memoryview) -> tuple[int, memoryview]:
    """Number and payload (empty for `FORGET`)."""
    return _WORD.unpack_from(body)[0], body[_WORD.size :]


def pack_number(kind: int, number: int) -> bytes:
    """A frame that only says a number: `READY` (pid) and `UNDECODABLE` (batch)."""
    return pack_frame(kind, _WORD.pack(number))


def unpack_number(body: memoryview) -> int:
    """The inverse of `pack_number`."""
    number: int = _WORD.unpack_from(body)[0]
    return number


def pack_definition(answer: Piece) -> bytes:
    """A `DEFINITION` frame: by value what was wanted, or why that cannot be sent, or nothing (`SKIPPED`)."""
    tag, data = answer
    return pack_frame(DEFINITION, _WORD.pack(tag), data)


def unpack_definition(body: memoryview) -> tuple[int, memoryview]:
    """The inverse of `pack_definition`."""
    return unpack_number(body), body[_WORD.size :]


def pack_block(block: int, size: int) -> bytes:
    """A `BLOCK` frame: whoever gets it borrows from this block from now on. Size 0: no descriptor comes with it."""
    return pack_frame(BLOCK, _BLOCK.pack(block, size))


def unpack_block(body: memoryview) -> tuple[int, int]:
    """Number and size of the block."""
    block, size = _BLOCK.unpack_from(body)
    return block, size


def without_descriptor(data: bytes) -> bytes:
    """The same frames, of which the first, a `BLOCK`, says that its descriptor does not come with it."""
    return pack_block(unpack_block(memoryview(data)[HEADER_SIZE:])[0], 0) + data[_BLOCK_FRAME_SIZE:]


def give_descriptors(frames: list[tuple[int, Any]], descriptors: list[int]) -> None:
    """Make the body of each `BLOCK` frame `(number, size, descriptor)`, taking those from the front of the list.

    The descriptor is -1 where none came, because one of the two sides had no room for it.
    """
    for at, (kind, body) in enumerate(frames):
        if kind == BLOCK:
            block, size = unpack_block(body)
            frames[at] = kind, (block, size, descriptors.pop(0) if size and descriptors else -1)


# What a handle stands for: a pickle, one in a block, or the block with the handle's number itself.
PICKLED, PICKLED_IN_BLOCK, BLOCK_ITSELF = range(3)


def pack_share(number: int, form: int, data: bytes) -> bytes:
    """A `SHARE` frame: from now on a handle with this number stands for what `data` says in this form."""
    return pack_frame(SHARE, _BLOCK.pack(number, form), data)


def unpack_share(body: memoryview) -> tuple[int, int, memoryview]:
    """Number, form and data."""
    number, form = _BLOCK.unpack_from(body)
    return number, form, body[_BLOCK.size :]


def pack_handles(numbers: Sequence[int], data: bytes) -> bytes:
    """The data of a piece with `HANDLES`."""
    return array("Q", [len(numbers), *numbers]).tobytes() + data


def unpack_handles(data: memoryview) -> tuple[list[int], memoryview]:
    """Numbers, and the rest of the data."""
    end = 8 * (1 + _WORD.unpack_from(data)[0])
    return array("Q", data[8:end].tobytes()).tolist(), data[end:]


def pack_ids(kind: int, ids: Iterable[int]) -> bytes:
    """A frame that only lists blocks: `RETURNED` and `FORGET_BLOCK`."""
    return pack_frame(kind, array("Q", ids).tobytes())


def unpack_ids(body: memoryview) -> list[int]:
    """The inverse of `pack_ids`."""
    return list(array("Q", body.tobytes()))
