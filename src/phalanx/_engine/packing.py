"""From jobs to messages for workers, and from segments to values: what processes need. (`direct`: within this one.)

Nothing here holds a lock, because packing a map's items runs users' pickling. Calls are packed when they are
submitted; a map's items when their batch is sent.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from phalanx._engine.arrivals import LOCAL, VALUES, Segment
from phalanx._engine.definitions import Definitions
from phalanx._engine.lending import Bound, Lending
from phalanx._memory import LARGE, Loan, Offered, Parcel, Repeats, pack
from phalanx._memory.shared import Laden, alive, gathering
from phalanx._wire import frames
from phalanx._wire.by_value import by_value_pickler, dump_with, is_current
from phalanx._wire.failures import decode_error, encode_error
from phalanx._wire.frames import (
    EACH,
    ERROR,
    RETRYABLE,
    SKIPPED,
    VALUE,
    WHOLE,
    WHOLE_LENT,
    BatchMessage,
    Piece,
)
from phalanx._wire.pickling import decode, encode
from phalanx._wire.weighing import pickled_size

Outcome = tuple[bool, Any]
"""Whether the item succeeded, and its value or exception."""

_LISTS = frozenset((frames.RETURNED, frames.FORGET_BLOCK, frames.FORGET_SHARE))
_LOADABLE = frozenset((Parcel, Bound))
FAILURES = frozenset((ERROR, RETRYABLE))
# What cannot change, and is pickled by C alone and so fast that it can be while the lock is held: these, texts of so
# many characters, and so many arguments at most.
_NUMBERS = frozenset((int, float, bool, type(None)))
_SHORT = 1000
_FEW = 16

AttachTrace = Callable[[BaseException, str], None]


class Packer(ABC):
    """One per engine: how its workers are talked to. `attach(error, text)` puts a worker's traceback on an error."""

    keeps_objects = False
    """Whether outcomes are objects already, so that rebuilding them later would save nothing."""
    lending: Lending | None = None
    """Where large objects go, if they can."""

    def __init__(self, attach: AttachTrace) -> None:
        self._attach = attach

    def look(self) -> bool:
        """See what the caller's `__main__` defines by now. True if something of it is not what it was."""
        return False

    @abstractmethod
    def function(self, function: Any) -> Any:
        """The payload that lets a worker rebuild a function. Raises `NotSendable`."""

    def pickled(self, function: Any) -> bytes:
        """As bytes, for what is itself part of something that is pickled."""
        raise NotImplementedError("objects go as they are here")

    @abstractmethod
    def reference(self, function: Any) -> Any:
        """The same, but of one that goes by name, if it can. Raises what pickling raises."""

    def define(self, name: str) -> Piece:
        """The answer to a worker whose `__main__` lacks this name."""
        return SKIPPED, b""

    @abstractmethod
    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *own: Any) -> Any:
        """The payload of one submitted call. `own`: its function, if that does not go by a number."""

    def calls(self, calls: list[list[Any]]) -> bytes:
        """The body of a batch of calls whose payloads are lists."""
        raise NotImplementedError("objects go as they are here")

    def packed(self, args: list[Any]) -> bytes:
        """The piece of such a call that goes alone, or with calls of another kind."""
        raise NotImplementedError("objects go as they are here")

    @abstractmethod
    def items(self, items: Sequence[Any], repeats: Repeats | None = None) -> tuple[int, Any]:
        """Form and body of a batch of a map's items. Never raises: what cannot be packed fails its item."""

    @abstractmethod
    def messages(self, functions: list[tuple[int, Any]], batch: BatchMessage, stale: list[int]) -> Any:
        """What a channel carries: functions that are not used any more, functions that are new, the batch."""

    @abstractmethod
    def stop(self) -> Any:
        """What a channel carries to end the worker."""

    @abstractmethod
    def read(self, kind: int, body: Any) -> Any:
        """The message in a frame from a worker. Of a failed start: a function that makes the exception."""

    @abstractmethod
    def outcome(self, tag: int, data: Any) -> Outcome:
        """Rebuild one value or error. Never raises: what cannot be rebuilt is a failure of its own."""

    def values(self, segment: Segment) -> list[Any]:
        """All values of a segment in form `WHOLE` or `VALUES`."""
        body = segment.body
        values: list[Any] = (
            body if segment.form == VALUES else body.load() if type(body) is Parcel else decode(body)
        )
        return values

    def outcomes(self, segment: Segment) -> Iterator[Outcome]:
        """Rebuild a segment's values and errors, each by itself and not before it is asked for."""
        if segment.form == WHOLE or segment.form == VALUES:
            for value in self.values(segment):
                yield True, value
        elif segment.form == LOCAL:
            for index in range(segment.start, segment.stop):
                yield False, segment.body(index)
        else:
            for tag, data in segment.body:
                yield self.outcome(tag, data)


class PicklePacker(Packer):
    """For workers in processes of their own."""

    def __init__(self, attach: AttachTrace, definitions: Definitions | None = None) -> None:
        super().__init__(attach)
        self.lending: Lending = Lending()
        self.definitions = definitions or Definitions()
        self._depot = self.lending.depot
        self._dumps: Callable[..., bytes] = pickle.dumps
        self._is_outdated: Callable[[Any], bool] = is_current

    def look(self) -> bool:
        changed = self.definitions.look()
        if self.definitions.are_outdated:
            self._dumps, self._is_outdated = self._dumps_anew, self.definitions.is_outdated
        return changed

    def function(self, function: Any) -> Any:
        thing = self.definitions.with_company(function)
        try:
            return self._gather(lambda: self._function(thing))
        except Exception:
            if thing is not function:  # what is wrong with it is told in its own terms, if that is the cause
                self._gather(lambda: self._encode_any(function, side="function", root="fn"))
            raise

    def _function(self, function: Any) -> bytes | Loan:
        """By reference or by value, with what is large in a block."""
        for dumps in (self._dumps, self._dumps_anew):
            with suppress(Exception):
                packed = pack(dumps, function, self._depot)
                self.lending.in_use |= type(packed) is Loan
                return packed
        return self._encode_any(function, side="function", root="fn")  # which says what refuses

    def pickled(self, function: Any) -> bytes:
        return self._encode_any(function, side="function", root="fn")

    def reference(self, function: Any) -> Any:
        thing = self.definitions.with_company(function)
        return self._dumps(thing, 5)

    def define(self, name: str) -> Piece:
        return self.definitions.answer(name)

    def _encode_any(self, obj: Any, **how: Any) -> bytes:
        return encode(obj, is_outdated=self._is_outdated, **how)

    def _dumps_anew(
        self, obj: Any, protocol: int, buffer_callback: Callable[[Any], object] | None = None
    ) -> bytes:
        """As `pickle.dumps`; by value what workers have otherwise."""
        return dump_with(by_value_pickler(), obj, buffer_callback, self._is_outdated)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *own: Any) -> Any:
        """The hot path of single calls. Arguments that nobody can change may be pickled later, with others."""
        if not kwargs and not own and len(args) <= _FEW:
            for arg in args:
                kind = type(arg)
                if kind not in _NUMBERS and (kind is not str or len(arg) > _SHORT):
                    break
            else:
                return list(args)
        call = (*own, args, kwargs)
        # What `pack` does for small ones, without a call of its own.
        if not alive:
            buffers = Offered()
            try:
                data = self._dumps(call, 5, buffer_callback=buffers)
            except Exception:
                return self._call(call)
            if not buffers and len(data) < LARGE:
                return data
        return self._gather(lambda: self._call(call))

    def calls(self, calls: list[list[Any]]) -> bytes:
        return pickle.dumps(calls, 5)

    def packed(self, args: list[Any]) -> bytes:
        return pickle.dumps((tuple(args), {}), 5)

    def _gather(self, pack_it: Callable[[], Any]) -> Any:
        """What `pack_it` packs, with the handles that it meets."""
        with gathering() as found:
            packed = pack_it()
        if not found:
            return packed
        self.lending.in_use = True
        return Laden(packed, found)

    def _call(self, call: Any) -> bytes | Loan:
        try:
            packed = pack(self._dumps, call, self._depot)
        except Exception:
            roots = ("args", "kwargs") if len(call) == 2 else ("fn", "args", "kwargs")
            return self._encode_any(call, root=roots)  # by value, or with an error that says what refuses
        if type(packed) is Loan:
            self.lending.in_use = True
        return packed

    def items(self, items: Sequence[Any], repeats: Repeats | None = None) -> tuple[int, Any]:
        try:
            if alive:
                packed = self._gather(lambda: pack(self._dumps, items, self._depot, repeats))
            else:
                packed = pack(self._dumps, items, self._depot, repeats)
            inner = packed.packed if type(packed) is Laden else packed
            if type(inner) is not Loan:
                return WHOLE, packed
            self.lending.in_use = True
            return WHOLE_LENT, packed
        except BaseException as error:
            if not isinstance(error, Exception) and _works(self._dumps, items, 5):
                raise  # an interrupt, not meant for the items
            return EACH, [self._piece(item) for item in items]

    def _piece(self, item: Any) -> Piece:
        try:
            return VALUE, self._encode(item)
        except BaseException as error:
            return ERROR, encode_error(error, "", "")

    def _encode(self, item: Any) -> Any:
        def by_either() -> bytes | Loan:
            try:
                packed = pack(self._dumps, item, self._depot)
            except Exception:
                return self._encode_any(item)  # by value, or with an error that says what refuses
            self.lending.in_use |= type(packed) is Loan
            return packed

        return self._gather(by_either)

    def messages(self, functions: list[tuple[int, Any]], batch: BatchMessage, stale: list[int]) -> bytes:
        packed = frames.pack_batch(batch)
        if not functions and not stale:
            return packed
        parts = [frames.pack_forget(number) for number in stale]
        parts += [frames.pack_function(number, payload) for number, payload in functions]
        return b"".join((*parts, packed))

    def stop(self) -> bytes:
        return frames.pack_frame(frames.STOP)

    def read(self, kind: int, body: Any) -> Any:
        if kind == frames.RESULTS:
            return frames.unpack_results(body)
        if kind == frames.START_FAILED:
            data = bytes(body)
            return lambda: self._error(data)
        if kind == frames.BLOCK:
            return body
        if kind in _LISTS:
            return frames.unpack_ids(body)
        if kind == frames.WANT:
            return bytes(body).decode()
        if kind == frames.OUTPUT:
            return decode(body)
        return frames.unpack_number(body)

    def outcome(self, tag: int, data: Any) -> Outcome:
        if tag in FAILURES:
            return False, self._error(data)
        try:
            return True, _rebuilt(data)
        except BaseException as error:
            if not isinstance(error, Exception) and _works(_rebuilt, data):
                raise  # an interrupt, which must not become the item's outcome
            error.add_note(
                "phalanx: the item succeeded, but its result cannot be rebuilt in the calling process"
            )
            return False, error

    def _error(self, data: Any) -> BaseException:
        error, trace, note = decode_error(data)
        add_note(error, note)
        if trace:
            self._attach(error, trace)
        return error


def add_note(error: BaseException, note: str) -> None:
    """Once, whatever the number of calls for the same exception."""
    if note and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _rebuilt(data: Any) -> Any:
    return data.load() if type(data) in _LOADABLE else decode(data)


def _works(function: Callable[..., Any], *args: Any) -> bool:
    """Whether this call succeeds, if it is made once more."""
    try:
        function(*args)
    except BaseException:
        return False
    return True


def packed_size(packed: Any) -> int | None:
    """How many bytes go to the worker for this call; None where nothing has to go anywhere."""
    inner = packed.packed if type(packed) is Laden else packed
    if type(inner) is Loan:
        return len(inner.data) + inner.size
    if isinstance(inner, list):
        return pickled_size(inner)
    return len(inner) if isinstance(inner, bytes) else None
