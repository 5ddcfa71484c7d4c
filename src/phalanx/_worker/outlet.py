"""What a worker tells its parent: outcomes of items, each at most some milliseconds after it is known.

Outcomes of the running batch wait in `outcomes`: plain values as they are, everything else already packed,
because only then does a crash in pickling fall on the item whose index stands in the page. The main thread
sends them at the end of the batch, and every 20 ms of a long one; the flusher sends what is there
while an item keeps the main thread busy. `_lock` keeps the two apart and frames whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pickle import dumps
from time import monotonic_ns
from typing import Any

from phalanx._wire.frames import (
    EACH,
    RESULTS,
    VALUE,
    WHOLE,
    WHOLE_LENT,
    Piece,
    ResultsMessage,
    pack_results,
    without_descriptor,
)
from phalanx._wire.pickling import encode_result
from phalanx._worker.outcomes import Packed

# Twice what the policy aims at for a batch, so that a usual one is sent once.
_LONGEST_WAIT_NS = 20_000_000

# As `_memory.parcels.LARGE`, which is not loaded before it is needed.
_LARGE = 1 << 18
Announce = Callable[[bytes, int], bool]
Lend = Callable[[bytes, Announce], bytes | None]

# Pickling these can neither run user code nor crash, so a batch of them is pickled in one go.
PLAIN = frozenset((int, float, str, bytes, bool, type(None)))


def are_plain(outcomes: Sequence[Any]) -> bool:
    """Whether all of these are plain; quick where they are all of one type, as they mostly are."""
    types = list(map(type, outcomes))
    if not types:
        return True
    if types.count(types[0]) == len(types):
        return types[0] in PLAIN
    return PLAIN.issuperset(types)


class Outlet:
    """Collects the outcomes of one batch at a time and sends them as messages of a socket channel."""

    def __init__(
        self,
        send: Callable[[Any], object],
        send_descriptors: Callable[[Sequence[bytes], Sequence[int]], int] | None = None,
    ) -> None:
        """`send` sends all of its argument; `send_descriptors` may send a part, as `socket.send_fds` does."""
        self._send = send
        self._send_descriptors = send_descriptors
        self._lock = threading.Lock()
        self._is_cut = False
        self._outcomes: list[Any] = []
        self._batch = 0
        self._sent = 0
        self._began = self._flushed = 0
        self.is_plain = True
        """Nothing of this batch is known not to be plain; whoever knows better says so."""
        self.before_end: Callable[[], object] | None = None
        """Called before the last outcomes of a batch go."""
        self.lend: Lend | None = None
        """Puts a large pickle into a block: what to send instead, or None."""

    def begin(self, batch: int) -> list[Any]:
        """Start collecting for a batch; returns the list to append outcomes to.

        Needs no lock: until `_outcomes` is stored, last, the flusher finds nothing to send.
        """
        outcomes: list[Any] = []
        self._batch = batch
        self._sent = 0
        self._began = self._flushed = monotonic_ns()
        self.is_plain = True
        self._outcomes = outcomes
        return outcomes

    def end(self) -> None:
        """Everything of this batch that will ever run has run: send what is left."""
        if self.before_end is not None:
            self.before_end()
        with self._lock:
            self._flush(self._outcomes, ended=True)
            # Emptied, because frames below ours still know it while the parent reads on.
            self._outcomes.clear()
            self._outcomes = []

    def due(self) -> int:
        """When, between two items, what is ready has waited for long; in nanoseconds of the monotonic clock."""
        return self._flushed + _LONGEST_WAIT_NS

    def waiting(self) -> int:
        """How many outcomes have not been sent."""
        return len(self._outcomes) - self._sent

    def flush(self, even_nothing: bool = False) -> None:
        """Send what is ready; if `even_nothing`, say that nothing is."""
        with self._lock:
            ready = self._outcomes[self._sent :]
            for at, outcome in enumerate(ready):
                if type(outcome) is Packed:
                    self.is_plain = False
                elif type(outcome) not in PLAIN:
                    # Not yet packed by the main thread, which alone may run a user's pickling.
                    del ready[at:]
                    break
            if ready or even_nothing:
                self._flush(self._outcomes[: self._sent + len(ready)], ended=False)

    def send(self, frame: Any) -> None:
        """Send one whole frame."""
        with self._lock:
            self._put(frame)

    def announce(self, frame: bytes, descriptor: int) -> bool:
        """Send one `BLOCK` frame with its descriptor: to be called before the outcomes that need it are appended.

        False if the system refuses to pass the descriptor: then the parent is told that it stays here.
        """
        with self._lock:
            return self._announce(frame, descriptor)

    def _announce(self, frame: bytes, descriptor: int) -> bool:
        assert self._send_descriptors is not None, "this outlet has no socket"
        self._check_whole()
        try:
            sent = self._send_descriptors((frame,), (descriptor,))
        except OSError:
            # Too many are on their way (ETOOMANYREFS). If it was something worse, this raises as well.
            self._put(without_descriptor(frame))
            return False
        except BaseException:
            self._is_cut = True
            raise
        if sent < len(frame):
            self._put(frame[sent:])
        return True

    def _put(self, data: Any) -> None:
        self._check_whole()
        try:
            self._send(data)
        except BaseException:
            self._is_cut = True
            raise

    def _check_whole(self) -> None:
        """Nothing can follow a message that an exception has cut off: it would be taken for the rest of it."""
        if self._is_cut:
            raise ConnectionResetError("an exception has cut off what this worker was sending")

    def _flush(self, outcomes: list[Any], ended: bool) -> None:
        ready = outcomes[self._sent :] if self._sent else outcomes
        self._flushed = monotonic_ns()
        spent = self._flushed - self._began
        message = ResultsMessage(self._batch, self._sent, len(ready), spent, EACH, ended, None)
        packed = self._pack(message, ready)
        self._put(packed)
        # In this order: struck in between, the same is sent again, and the parent takes it for that.
        self._sent += len(ready)

    def _pack(self, message: ResultsMessage, ready: list[Any]) -> Any:
        if self.is_plain:
            message.form, message.body = WHOLE, dumps(ready, 5)
            if len(message.body) >= _LARGE and self.lend is not None:
                lent = self.lend(message.body, self._announce)
                if lent is not None:
                    message.form, message.body = WHOLE_LENT, lent
        else:
            message.body = list(map(_as_piece, ready))
        return pack_results(message)


class DirectOutlet(Outlet):
    """For workers in this process: messages are objects.

    Results are the parent's own objects, which it may want to be the last to hold. So it is woken after we
    have let go of them.
    """

    def __init__(self, send: Callable[[Any], object], wake: Callable[[], object]) -> None:
        """`send` only leaves the message where the parent looks for it."""
        super().__init__(send)
        self._wake = wake

    def end(self) -> None:
        super().end()
        self._wake()

    def flush(self, even_nothing: bool = False) -> None:
        super().flush(even_nothing)
        self._wake()

    def send(self, frame: Any) -> None:
        super().send(frame)
        self._wake()

    def _put(self, data: Any) -> None:
        self._send(data)  # one step, which nothing can cut in two

    def _pack(self, message: ResultsMessage, ready: list[Any]) -> Any:
        message.body = [each.piece if type(each) is Packed else (VALUE, each) for each in ready]
        return RESULTS, message


def _as_piece(outcome: Any) -> Piece:
    return outcome.piece if type(outcome) is Packed else (VALUE, encode_result(outcome))
