"""The worker's loop: wait for messages, run batches in order, until told to stop."""

from __future__ import annotations

import os
import select
import socket
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from phalanx._platform.forked import close_in_children
from phalanx._platform.spinning import Spin
from phalanx._wire import frames
from phalanx._wire.frames import BatchMessage, give_descriptors, pack_number, split_frames
from phalanx._worker import here
from phalanx._worker.flusher import Flusher
from phalanx._worker.outcomes import DirectCodec, PickleCodec
from phalanx._worker.outlet import DirectOutlet, Outlet
from phalanx._worker.runner import Runner, Undecodable

if TYPE_CHECKING:
    from phalanx._transport import MemoryEnd

_READ_SIZE = 65_536
# As at the parent's end: one would do on Linux.
_ROOM = socket.CMSG_SPACE(16 * array("i").itemsize)
# Plain numbers: those of `socket` are enumerations, which take their time.
_RECEIVE_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_TRUNCATED = int(socket.MSG_CTRUNC)


class Inlet:
    """Reads whole frames from a socket; waits in the kernel."""

    def __init__(self, sock: socket.socket) -> None:
        self._recvmsg = sock.recvmsg
        self._recv_into = sock.recv_into
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        self._spin = Spin(poll.poll)
        self._ready: deque[tuple[int, Any]] = deque()
        self._rest = b""
        self._descriptors: list[int] = []
        close_in_children(self)

    def take(self) -> tuple[int, Any] | None:
        """The next frame, or None when the parent has closed the channel.

        The body of a `BLOCK` frame is `(number, size, descriptor)`, -1 for one that there was no room for; the
        descriptor is the caller's from now on.
        """
        while not self._ready:
            rest = self._rest
            if rest and frames.frame_size(rest) > _READ_SIZE:
                whole: bytes | bytearray = self._read_large(frames.frame_size(rest))
            else:
                self._spin.look()
                whole, ancillary, flags, _ = self._recvmsg(_READ_SIZE, _ROOM, _RECEIVE_FLAGS)
                if ancillary or flags & _TRUNCATED:
                    self._receive(ancillary, flags)
                if whole and rest:
                    whole = rest + whole
            if not whole:
                return None
            parts: list[tuple[int, Any]]
            parts, used = split_frames(whole)
            for kind, _ in parts:
                if kind == frames.BLOCK:
                    give_descriptors(parts, self._descriptors)
                    break
            self._ready.extend(parts)
            self._rest = bytes(whole[used:]) if used < len(whole) else b""
        return self._ready.popleft()

    def take_ahead(self, kind: int) -> Any:
        """The body of the next frame of this kind; what comes before it stays, for `take`.

        Raises ConnectionResetError when the parent has closed the channel.
        """
        passed: list[tuple[int, Any]] = []
        try:
            while (frame := self.take()) is not None:
                if frame[0] == kind:
                    return frame[1]
                passed.append(frame)
            raise ConnectionResetError("the parent is gone")
        finally:
            self._ready.extendleft(reversed(passed))

    def close(self) -> None:
        """Give back the descriptors that nobody took. Idempotent."""
        unwanted = [body[2] for kind, body in self._ready if kind == frames.BLOCK] + self._descriptors
        self._ready.clear()
        self._descriptors.clear()
        for number in unwanted:
            if number >= 0:
                os.close(number)

    def _receive(self, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        numbers = array("i")
        for _, _, passengers in ancillary:
            numbers.frombytes(passengers)
        self._descriptors.extend(numbers)
        if flags & _TRUNCATED:
            self._descriptors.append(-1)

    def _read_large(self, due: int) -> bytes | bytearray:
        """One large frame, read in place instead of piece by piece.

        Descriptors come with frames behind it, whose bytes are not asked for here.
        """
        whole = bytearray(due)
        have = len(self._rest)
        whole[:have] = self._rest
        view = memoryview(whole)
        while have < due:
            count = self._recv_into(view[have:])
            if not count:
                return b""
            have += count
        return whole


class Loop:
    """Ties one worker's inlet, runner, outlet and flusher together."""

    def __init__(
        self,
        page: Any,
        outlet: Outlet,
        runner: Runner,
        watches: bool = True,
    ) -> None:
        """`watches`: somebody else can use what is ready while an item runs."""
        self.outlet = outlet
        self.runner = runner
        self._watches = watches
        self._flusher = Flusher(self._look, runner.got_on_at)

    def run(self, message: BatchMessage, undecodable: Callable[[int], Any]) -> None:
        """Run one batch; `undecodable(batch)` is the message for one whose items cannot be rebuilt."""
        if message.count > 1 and self._watches:
            self._flusher.watch(message.batch)
        try:
            self.runner.run(message)
        except Undecodable:
            self.outlet.send(undecodable(message.batch))
        finally:
            self._flusher.batch = 0

    def close(self) -> None:
        """The worker has been told to stop."""
        self._flusher.close()

    def _look(self) -> None:
        # In this order: that something was sent is how the parent learns that there may be something to take.
        with suppress(BrokenPipeError, ConnectionResetError):  # which the main thread finds out by itself
            self.outlet.flush(even_nothing=self.runner.give_back())


def serve_socket(inlet: Inlet, page: Any, outlet: Outlet, codec: PickleCodec, inherited: Any = None) -> bool:
    """The loop of a worker process. True if it was told to stop, False if nobody is there any more."""
    outlet.lend = codec.lend
    loop = Loop(page, outlet, Runner(page, outlet, codec, inherited))
    here.facts().runner = loop.runner
    while True:
        frame = inlet.take()
        if frame is None or frame[0] == frames.STOP:
            return frame is not None
        kind, body = frame
        if kind == frames.BATCH:
            message = frames.unpack_batch(body)
            if codec.knows_blocks:
                codec.open(message)
            loop.run(message, undecodable)
            del message
        elif kind == frames.FUNCTION:
            number, payload = frames.unpack_function(body)
            loop.runner.learn(
                number & ~frames.LENT, codec.opened(payload) if number & frames.LENT else bytes(payload)
            )
        elif kind == frames.FORGET:
            loop.runner.forget(frames.unpack_function(body)[0])
        elif kind != frames.DEFINITION:  # which comes a second time if something struck the parent
            codec.hear(kind, body)
        del frame, body
        if codec.knows_blocks:
            notes = codec.notes()
            if notes:
                outlet.send(notes)


def undecodable(batch: int) -> bytes:
    """The message for a batch whose items cannot be rebuilt."""
    return pack_number(frames.UNDECODABLE, batch)


def serve_memory(end: MemoryEnd, page: Any) -> None:
    """The loop of a worker thread of this process."""
    loop = _memory_loop(end, page)
    while _serve_messages(loop, end.take()):
        pass
    loop.close()


def serve_at_hand(end: MemoryEnd, page: Any) -> Callable[[], bool | None]:
    """The loop of a worker that has no thread of its own, one step for each call.

    A step says whether anything had come, and None when it was the order to stop.
    """
    loop = _memory_loop(end, page, watches=False)

    def step() -> bool | None:
        messages = end.take_nowait()
        if messages is None:
            return False
        try:
            return _serve_messages(loop, messages) or None
        except BaseException:
            # This worker will not be asked again; what it has done shall not be done by another.
            loop.outlet.flush()
            raise

    return step


def _memory_loop(end: MemoryEnd, page: Any, watches: bool = True) -> Loop:
    outlet = DirectOutlet(end.results.append, end.wake)
    loop = Loop(page, outlet, Runner(page, outlet, DirectCodec()), watches)
    here.facts().runner = loop.runner
    return loop


def _serve_messages(loop: Loop, messages: list[tuple[int, Any]]) -> bool:
    """False when told to stop."""
    while messages:
        # Popped, so that an idle worker keeps nothing of what it was given alive.
        kind, body = messages.pop(0)
        if kind == frames.STOP:
            return False
        if kind == frames.BATCH:
            loop.run(body, lambda batch: (frames.UNDECODABLE, batch))
        elif kind == frames.FUNCTION:
            loop.runner.learn(*body)
        else:
            loop.runner.forget(body)
    return True
