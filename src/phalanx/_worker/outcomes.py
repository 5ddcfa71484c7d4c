"""Packing values and failures for the way back: as bytes to another process, as themselves within one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pickle import dumps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from phalanx._base.shortening import shorten, shorten_call
from phalanx._platform.forked import Descriptor, close_in_children
from phalanx._wire import frames
from phalanx._wire.failures import encode_error
from phalanx._wire.frames import ERROR, RETRYABLE, VALUE, BatchMessage, Piece
from phalanx._wire.pickling import decode, encode_result
from phalanx._worker.retrying import WorthARetry

if TYPE_CHECKING:
    from phalanx._worker.lending import Lending

T = TypeVar("T")

MISSING = object()
_BYTES = frozenset((bytes, memoryview))


class Packed:
    """An outcome that is ready to travel: a value that is not plain, an error, or nothing (skipped)."""

    __slots__ = ("piece",)

    def __init__(self, tag: int, data: Any) -> None:
        self.piece: Piece = (tag, data)


class CallArguments(NamedTuple):
    """What a submitted call was called with."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Codec(ABC):
    """Turns what the parent sent into objects and outcomes into what the parent is sent."""

    @abstractmethod
    def load(self, data: Any) -> Any:
        """The object that the parent packed."""

    @abstractmethod
    def value(self, value: Any) -> Packed:
        """A value of any type. Raises when it cannot travel."""

    @abstractmethod
    def error(self, error: BaseException, trace: str, note: str) -> Any:
        """The data of a failure; never raises."""

    def load_code(self, load: Callable[[], T]) -> T:
        """What `load` imports, which is not needed before now."""
        return load()

    def failure(self, error: BaseException, index: int, item: Any = MISSING) -> Packed:
        """An item's failure, which the options may let try again."""
        if isinstance(error, WorthARetry):
            return Packed(RETRYABLE, self.trace(error.error, index, item))
        return Packed(ERROR, self.trace(error, index, item))

    def trace(self, error: BaseException, index: int, item: Any) -> Any:
        """The data of a failure with its traceback, less our own frames, and a note that names the item."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
            trace = trace.tb_next
        format_exception = self.load_code(_format_exception)
        text = "".join(format_exception(type(error), error, trace or error.__traceback__))
        return self.error(error.with_traceback(None), text, _note(index, item))


class PickleCodec(Codec):
    """For a worker in a process of its own."""

    def __init__(
        self,
        announce: Callable[[bytes, int], bool] | None = None,
        find: Callable[[AttributeError, Callable[[], Any]], Any] | None = None,
    ) -> None:
        """`announce` sends a block's descriptor; without it everything goes by the channel. `find(error, load)` is
        for what could not be loaded for want of a name (see `wanting`)."""
        self._announce = announce
        self._find = find
        self._spare: Descriptor | None = None
        self._lending: Lending | None = None
        self.knows_blocks = False
        """Whether anything was ever lent or borrowed."""

    def load(self, data: Any) -> Any:
        try:
            return decode(data) if type(data) in _BYTES else data.load()
        except AttributeError as error:
            if self._find is None:
                raise
            return self._find(error, lambda: decode(data) if type(data) in _BYTES else data.load())

    def value(self, value: Any) -> Packed:
        lending = self.lending()
        if lending is None:
            return Packed(VALUE, encode_result(value))
        try:
            bits, data = lending.value(dumps, value)
        except Exception:
            return Packed(VALUE, encode_result(value))  # which says what is wrong with it
        return Packed(VALUE | bits, data)

    def lend(self, data: bytes, announce: Callable[[bytes, int], bool]) -> bytes | None:
        """A large pickle in a block: what to send for it, or None."""
        lending = self.lending()
        return None if lending is None else lending.pickled(data, announce)

    def open(self, message: BatchMessage) -> None:
        """Get what is lent in the batch ready to be loaded."""
        if self._lending is not None:
            self._lending.open(message)

    def opened(self, data: memoryview) -> Any:
        """What is lent as a whole, ready to be loaded."""
        lending = self.lending()
        assert lending is not None, "nobody could have lent it"
        return lending.opened(data)

    def hear(self, kind: int, body: Any) -> None:
        """What the parent says of blocks."""
        lending = self.lending()
        if lending is None:
            return
        if kind == frames.BLOCK:
            lending.learn(*body)
        elif kind == frames.RETURNED:
            lending.take_back(frames.unpack_ids(body))
        elif kind == frames.SHARE:
            lending.remember(*frames.unpack_share(body))
        elif kind == frames.FORGET_SHARE:
            lending.forget_shares(frames.unpack_ids(body))
        else:
            lending.forget(frames.unpack_ids(body))

    def notes(self) -> bytes:
        """What there is to say to the parent of blocks, as frames."""
        return b"" if self._lending is None else self._lending.notes()

    def lending(self) -> Lending | None:
        """What is lent and borrowed, from the first time on that somebody asks."""
        if self._lending is None and self._announce is not None:
            Lending = self.load_code(_lending)  # not before something other than plain values comes
            self._lending = Lending(self._announce)
            self.knows_blocks = True
        return self._lending

    def keep_a_descriptor(self) -> None:
        """For the day on which the user has taken all others, and code has to be loaded."""
        self._spare = Descriptor(os.open(os.devnull, os.O_RDONLY))
        close_in_children(self._spare)

    def load_code(self, load: Callable[[], T]) -> T:
        try:
            return load()
        except OSError:
            if self._spare is None:
                raise
            self._spare.close()
            try:
                return load()
            finally:
                self.keep_a_descriptor()  # at once, or what is sent next would take its place

    def error(self, error: BaseException, trace: str, note: str) -> Any:
        return encode_error(error, trace, note)


class DirectCodec(Codec):
    """For a worker in this process: nothing is copied."""

    def load(self, data: Any) -> Any:
        return data

    def value(self, value: Any) -> Packed:
        return Packed(VALUE, value)

    def error(self, error: BaseException, trace: str, note: str) -> Any:
        return error, trace, note

    def trace(self, error: BaseException, index: int, item: Any) -> Any:
        """The exception keeps its own traceback: it never left the process."""
        return self.error(error, "", _note(index, item))


def _format_exception() -> Callable[..., list[str]]:
    from traceback import format_exception  # only failures need it, and it takes 2 ms

    return format_exception


def _lending() -> type[Lending]:
    from phalanx._worker.lending import Lending

    return Lending


def _note(index: int, item: Any) -> str:
    if index < 0:
        return f"phalanx: the initializer, in worker process {os.getpid()}"
    if isinstance(item, CallArguments):
        text = f": {shorten_call(item.args, item.kwargs)}"
    else:
        text = "" if item is MISSING else f": {shorten(item)}"
    return f"phalanx: item {index}{text}, in worker process {os.getpid()}"
