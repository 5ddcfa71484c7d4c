"""The parent's end of a socket to one worker.

An exception can strike the main thread between any two bytecodes (Ctrl-C, a raising signal handler), so no
fact may live only in a local variable between a system call and the line that stores its result. What was
sent and what was read is stored by the same C call that made it (`extend` over a `map` of the system call),
an outgoing entry leaves the outbox only after all of it is written, and what was read is given up only when
`consume` says so in one assignment. Everything else may be done twice without harm.

Descriptors travel with the first byte of an entry, so they come in the order of their `BLOCK` frames and no
later than these. They lie beside the bytes that they came with, and are given up together with them: until
`consume` they are the channel's, which closes them when it is closed, then the receiver's. One that is told
twice has the same number. The receiver stores it before `consume` and does nothing irrevocable with it until
then; if it was struck in between, it asks for `frames` once more before it closes the channel.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import starmap
from operator import itemgetter
from typing import Any

from phalanx._base.channel import Channel
from phalanx._platform.forked import close_in_children
from phalanx._wire.frames import (
    BLOCK,
    HEADER_SIZE,
    frame_size,
    give_descriptors,
    split_frames,
    without_descriptor,
)

# MSG_NOSIGNAL: a program that set SIGPIPE to its default would die when it writes to a dead worker.
_SEND_FLAGS = (getattr(socket, "MSG_NOSIGNAL", 0) | getattr(socket, "MSG_DONTWAIT", 0),)
# Plain numbers: those of `socket` are enumerations, which take their time.
_RECEIVE_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(socket.MSG_CTRUNC)
# One would do on Linux, which ends a read where a descriptor came; others may put some together.
_ROOM = socket.CMSG_SPACE(16 * array("i").itemsize)
# A Unix socket hands over what one send put in, about 200 KB at most by default; a larger buffer for
# every read would cost a fresh mapping each time, so it is asked for only when a large frame is due.
_READ_SIZE = 65_536
_SMALL, _LARGE = ((_READ_SIZE, _ROOM, _RECEIVE_FLAGS),), ((262_144, _ROOM, _RECEIVE_FLAGS),)

Received = tuple[bytes, Sequence[tuple[int, int, bytes]], int, Any]
"""What `recvmsg` returns: bytes, descriptors as ancillary data, flags, and an address that says nothing."""

_data = itemgetter(0)


class Outgoing:
    """Bytes on their way to a worker, and what the worker has from then on: a batch, functions by their numbers.

    `descriptor`, which stays open as long as `holds` lives, travels with the first byte, which is that of a
    `BLOCK` frame.
    """

    __slots__ = ("batch", "data", "descriptor", "functions", "holds", "written")

    def __init__(
        self,
        data: Any,
        batch: Any = None,
        functions: Sequence[int] = (),
        descriptor: int = -1,
        holds: object = None,
    ) -> None:
        self.data = data
        self.batch = batch
        self.functions = functions
        self.descriptor = descriptor
        self.holds = holds
        self.written: list[int] = []

    def without_descriptor(self) -> Outgoing:
        """The same, saying that the descriptor stays behind."""
        return Outgoing(without_descriptor(self.data), self.batch, self.functions)


class SocketChannel(Channel):
    """Never blocks; used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._send = sock.send
        self._sendmsg = sock.sendmsg
        self._recvmsg = sock.recvmsg
        self._descriptor = sock.fileno()
        self.outbox: deque[Outgoing] = deque()
        self._chunks: deque[Received] = deque()
        self._unwanted: list[int] = []
        self._broken = False
        close_in_children(self)

    def fileno(self) -> int:
        return self._descriptor

    def put(self, entry: Outgoing) -> None:
        self.outbox.append(entry)

    def flush(self) -> bool:
        """Write what fits. A dead worker takes everything: its end is reported by the launcher."""
        outbox = self.outbox
        while outbox and not self._broken:
            entry = outbox[0]
            written = entry.written
            rest = memoryview(entry.data)[sum(written) :] if written else entry.data
            if rest:
                try:
                    if entry.descriptor < 0 or written:
                        written.extend(map(self._send, (rest,), _SEND_FLAGS))
                    else:
                        self._send_first(entry)
                except BlockingIOError:
                    return False
                except OSError:
                    if entry.descriptor < 0 or written:
                        self._broken = True
                    else:
                        # Too many are on their way (ETOOMANYREFS): as if there were no room for it over there.
                        # Whether it was something worse, the next turn will tell.
                        outbox[0] = entry.without_descriptor()
                    continue
                if written[-1] < len(rest):
                    continue
            outbox.popleft()
        return True

    def _send_first(self, entry: Outgoing) -> None:
        """Write what fits of an entry of which nothing is written, and with it the descriptor."""
        passenger = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", (entry.descriptor,)))
        entry.written.extend(map(self._sendmsg, ((entry.data,),), ((passenger,),), _SEND_FLAGS))

    def fill(self) -> bool | None:
        """Take in what has come: True if something has, None if nothing has, False at the end of file."""
        chunks = self._chunks
        arguments = _LARGE if chunks and frame_size(chunks[0][0]) > _READ_SIZE else _SMALL
        try:
            chunks.extend(starmap(self._recvmsg, arguments))
        except BlockingIOError:
            return None
        except OSError:
            return False
        if chunks[-1][0]:
            return True
        chunks.pop()
        return False

    def frames(self) -> tuple[list[tuple[int, Any]], deque[Received]]:
        """Whole frames that have come, and the token to `consume` them with once they are dealt with.

        The body of a `BLOCK` frame is `(number, size, descriptor)`; -1 for one that there was no room for.
        """
        chunks = self._chunks
        if not chunks:
            return [], chunks
        data, ancillary, flags, _ = chunks[0]
        in_pieces = len(chunks) > 1
        if in_pieces:
            # Joined only when it is worth it: a large frame comes in many pieces.
            if len(data) >= HEADER_SIZE and sum(map(len, map(_data, chunks))) < frame_size(data):
                return [], chunks
            data = b"".join(map(_data, chunks))
        frames: list[tuple[int, Any]]
        frames, used = split_frames(data)
        # Most messages bring none, and are to cost no more for it.
        descriptors = _descriptors(chunks) if in_pieces or ancillary or flags & _TRUNCATED else []
        for kind, _ in frames:
            if kind == BLOCK:
                give_descriptors(frames, descriptors)
                break
        if used == len(data) and not descriptors:
            return frames, deque()
        if not frames and not in_pieces:
            return frames, chunks
        return frames, deque(((data[used:], _as_received(descriptors), 0, None),))

    def consume(self, token: deque[Received]) -> None:
        """Give up the frames that `frames` returned together with this token; their descriptors are the
        caller's from now on."""
        self._chunks = token

    def close(self) -> None:
        self._broken = True
        self._descriptor = -1
        self._sock.close()
        unwanted = self._unwanted + [number for number in _descriptors(self._chunks) if number >= 0]
        nothing: deque[Received] = deque()
        # No call in this line, and none between giving up a number and closing it: nothing can strike there.
        self._unwanted, self._chunks = unwanted, nothing
        while self._unwanted:
            number = self._unwanted[-1]
            del self._unwanted[-1]
            os.close(number)


def _descriptors(chunks: Iterable[Received]) -> list[int]:
    """Those that came with these chunks, in order; -1 for what this process had no room for."""
    numbers = array("i")
    for _, ancillary, flags, _ in chunks:
        # Nothing else comes this way: credentials do for those alone who ask for them.
        for _, _, data in ancillary:
            numbers.frombytes(data)
        if flags & _TRUNCATED:
            numbers.append(-1)
    return list(numbers)


def _as_received(descriptors: list[int]) -> Sequence[tuple[int, int, bytes]]:
    """These again as they came."""
    if not descriptors:
        return ()
    return ((socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors).tobytes()),)
