"""The path between a launcher and its nursery: small messages, some with a descriptor.

A stream, because sequenced packets are not to be had everywhere. A message is a header (length of the rest,
and whether a descriptor comes with it) and a pickled tuple. Descriptors arrive in the order of the messages
that they belong to; one that the receiving side has no room for arrives as None.

As everywhere: what a system call returns is stored by the same C call, and taking in is done by one
assignment, so that an exception between two bytecodes loses nothing.
"""

from __future__ import annotations

import array
import pickle
import socket
import struct
from collections import deque
from itertools import count
from typing import Any, NamedTuple, cast

from phalanx._platform.forked import Descriptor

_HEADER = struct.Struct("=I?")
_READ_SIZE = 65_536
_WORD = array.array("i").itemsize
_ROOM = socket.CMSG_SPACE(16 * _WORD)
# Plain numbers: those of `socket` are enumerations, which take their time.
_RECEIVE_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0) | socket.MSG_DONTWAIT)
_PATIENT_FLAGS = int(getattr(socket, "MSG_NOSIGNAL", 0))
_SEND_FLAGS = int(_PATIENT_FLAGS | socket.MSG_DONTWAIT)
_TRUNCATED = int(socket.MSG_CTRUNC)

Message = tuple[Any, ...]
Received = tuple[bytes, list[tuple[int, int, bytes]], int, Any]


class Intake(NamedTuple):
    """What has come and is not used up: what the system returned, and what was left before that."""

    chunks: list[Received]
    rest: bytes
    passengers: list[int | None]


class _Parcel:
    __slots__ = ("data", "passenger", "sent")

    def __init__(self, message: Message, passenger: socket.socket | Descriptor | None) -> None:
        body = pickle.dumps(message)
        self.data = _HEADER.pack(len(body), passenger is not None) + body
        self.passenger = passenger
        self.sent: list[int] = []

    def release(self) -> None:
        """A socket was made for the other side: this side has no use for it."""
        if self.passenger is not None:
            self.passenger.close()


class ControlEnd:
    """One end of the path. Reading never waits; writing waits only where the caller says so."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outbox: deque[_Parcel] = deque()
        self._intake = Intake([], b"", [])

    def post(self, message: Message, passenger: socket.socket | Descriptor | None = None) -> None:
        """Append a message; `flush` sends it, and then closes our copy of the passenger."""
        self.outbox.append(_Parcel(message, passenger))

    def flush(self, wait: bool = False) -> bool:
        """Send what can be sent. True when nothing is left. Raises OSError when the other side is gone."""
        flags = _PATIENT_FLAGS if wait else _SEND_FLAGS
        while self.outbox:
            parcel = self.outbox[0]
            start = sum(parcel.sent)
            if start < len(parcel.data):
                ancillary: list[tuple[int, int, bytes]] = []
                if parcel.passenger is not None and not start:
                    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _number(parcel.passenger))]
                view = memoryview(parcel.data)[start:]
                try:
                    parcel.sent.extend(map(self.sock.sendmsg, ([view],), (ancillary,), (flags,)))
                except BlockingIOError:
                    return False
                continue
            parcel.release()
            self.outbox.popleft()
        return True

    def drop_first(self) -> Message:
        """Give up a message that cannot be sent, and its passenger."""
        parcel = self.outbox.popleft()
        parcel.release()
        return cast("Message", pickle.loads(parcel.data[_HEADER.size :]))

    def unseat_first(self) -> None:
        """Send the first message without its passenger."""
        message = pickle.loads(self.outbox[0].data[_HEADER.size :])
        self.outbox[0].release()
        self.outbox[0] = _Parcel(message, None)

    def receive(self, most: int | None = 1) -> bool:
        """Take in what has come, at most so many pieces of it; False when nothing more will ever come."""
        chunks = self._intake.chunks
        for _ in count() if most is None else range(most):
            try:
                chunks.extend(map(self.sock.recvmsg, (_READ_SIZE,), (_ROOM,), (_RECEIVE_FLAGS,)))
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not chunks[-1][0]:
                return False
        return True

    @property
    def has_unheard(self) -> bool:
        """Whether something was received and not consumed: whoever was at it was struck."""
        return bool(self._intake.chunks)

    def messages(self) -> tuple[list[tuple[Message, int | None]], Intake]:
        """Whole messages that have come, each with its descriptor, and the token to `consume` them with."""
        chunks, rest, passengers = self._intake
        data = rest + b"".join([chunk[0] for chunk in chunks])
        passengers = passengers + [number for chunk in chunks for number in _descriptors(chunk)]
        found: list[tuple[Message, int | None]] = []
        at = 0
        while len(data) - at >= _HEADER.size:
            length, has_passenger = _HEADER.unpack_from(data, at)
            if len(data) - at - _HEADER.size < length:
                break
            at += _HEADER.size + length
            passenger = passengers.pop(0) if has_passenger and passengers else None
            found.append((pickle.loads(data[at - length : at]), passenger))
        return found, Intake([], data[at:], passengers)

    def consume(self, token: Intake) -> None:
        """Give up the messages that `messages` returned together with this token; the caller owns their
        descriptors from now on."""
        self._intake = token

    def close(self) -> None:
        """Give the descriptors back. Idempotent."""
        while self.outbox:
            self.outbox.popleft().release()
        self.sock.close()


def _number(passenger: socket.socket | Descriptor) -> bytes:
    number = passenger.number if isinstance(passenger, Descriptor) else passenger.fileno()
    return array.array("i", [number]).tobytes()


def _descriptors(chunk: Received) -> list[int | None]:
    _, ancillary, flags, _ = chunk
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[: len(data) - len(data) % _WORD])
    # Truncated: there was a descriptor, and no room for it in this process.
    return list(numbers) or ([None] if flags & _TRUNCATED else [])
