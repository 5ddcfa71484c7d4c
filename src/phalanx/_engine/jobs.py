"""Jobs as the engine knows them: where a call's items come from, and what has come of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from phalanx._base.shortening import NOTHING_KNOWN, Arguments, shorten, shorten_call
from phalanx._engine.arrivals import Arrivals, Segment
from phalanx._engine.packing import Packer, packed_size
from phalanx._engine.waiting import Waitable
from phalanx._memory import Repeats
from phalanx._policy import Batch, JobSpec
from phalanx._wire.frames import CALL, EACH, INHERITED, OWN_FUNCTION, SKIPPED, WHOLE, BatchMessage, Piece
from phalanx._wire.opaque import outline
from phalanx._wire.weighing import pickled_size

Call = tuple[Any, int, Any]
"""A submitted call: who gets the outcome, the number of its function (0: its payload brings it), its payload.

A payload that is a list has the positional arguments themselves, to be pickled with those of other calls."""

_MISSED: Piece = (SKIPPED, b"")
_NO_FUNCTIONS = frozenset((OWN_FUNCTION, SKIPPED))


class Job(Waitable):
    """One call of the user's (or all the submits of one executor). Done when every item has its outcome.

    The facts that reconciliation starts from are `total`, `sealed`, `consumed`, `cancelled` and `arrivals`;
    each is stored before the policy is told.
    """

    is_done = False

    def __init__(
        self, spec: JobSpec, source: Source, style: int, function: int, packs_quietly: bool = False
    ) -> None:
        # Packed under the engine's lock, because that runs no user code; otherwise by the driver, without it.
        self.packs_quietly = packs_quietly
        self.number = spec.job
        self.spec = spec
        self.total = self.told = spec.total
        self.sealed = spec.sealed
        self.consumed = 0
        self.window = spec.window
        self.cancelled = False
        self.kill = False
        self.source = source
        self.style = style
        self.function = function
        self.arrivals = Arrivals()
        self.failed: dict[int, Segment] = {}
        """The error of an item while the policy decides whether it is tried again."""
        self.tries: dict[int, int] = {}
        """How often an item was tried that has failed in the end, where that was more than once."""
        self.on_news: Callable[[Segment], object] | None = None
        self.on_finished: Callable[[], object] | None = None
        self.on_allowed: Callable[[int], object] | None = None
        self.on_closing: Callable[[], object] | None = None

    def has_grown(self) -> bool:
        """Whether there are items that the policy has not been told of."""
        return self.total > self.told

    def admit(self) -> int:
        """Give new items their indices; returns how many there are in all."""
        return self.total

    def fact_spec(self) -> JobSpec:
        """The specification with what has changed since.

        A feeder may let the job grow at any moment, and seals it after its last item: read in this order,
        a sealed job's total is its last one.
        """
        spec, sealed = self.spec, self.sealed
        return JobSpec(
            spec.job,
            self.admit(),
            sealed,
            spec.chunksize,
            self.window,
            spec.task_size,
            spec.crash_retries,
            spec.retries,
            spec.backoff,
            spec.timeout,
        )

    def is_outstanding(self) -> bool:
        """Whether outcomes are to come."""
        return not self.is_done

    def message(self, packer: Packer, batch: Batch) -> tuple[BatchMessage, set[int]]:
        """The batch, packed, and the numbers of the functions that it needs."""
        start, stop = batch.start, batch.stop
        if self.is_done:
            # Nobody wants these items any more, but the worker has to say that it is through with the batch.
            nothing: list[Piece] = [(SKIPPED, b"")] * (stop - start)
            return BatchMessage(batch.id, batch.seq, start, stop - start, 0, CALL, EACH, nothing), set()
        if self.source.is_inherited:
            head = (batch.id, batch.seq, start, stop - start, self.function, self.style)
            return BatchMessage(*head, INHERITED, b""), set()
        form, body = packer.items(self.source.slice(start, stop), self.source.repeats)
        message = BatchMessage(
            batch.id, batch.seq, start, stop - start, self.function, self.style, form, body
        )
        return message, {self.function}

    def describe(self, index: int) -> Arguments:
        """What messages say of an item. Runs users' code."""
        try:
            [item] = self.source.slice(index, index + 1)
        except Exception:
            return NOTHING_KNOWN
        return Arguments(shorten(item), 0 if self.source.is_inherited else pickled_size(item))

    def note_tries(self, index: int, tries: int) -> None:
        """The item has failed for good."""
        if tries > 1:
            self.tries[index] = tries

    def arrived(self) -> int:
        """How many items have an outcome."""
        parts, base = list(self.arrivals.parts.values()), self.arrivals.base
        return base + sum(part.stop - part.start for part in parts if part.start >= base)


class Source:
    """Where a job's items come from."""

    is_plain = False
    """Whether slicing and pickling its items runs no user code."""
    is_inherited = False
    """Whether all workers have the items, and their function, already."""
    repeats: Repeats | None = None
    """What was sent of them already, if they are all there from the beginning."""

    def slice(self, start: int, stop: int) -> Sequence[Any]:
        """Items start..stop-1, which have not been released."""
        raise NotImplementedError

    def release(self, below: int) -> None:
        """Items below this index will not be asked for again."""


class SequenceSource(Source):
    """A range, list or tuple: sliced when a batch is sent, never copied as a whole."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self.is_plain = type(items) is range
        self.repeats = None if self.is_plain else Repeats()

    def slice(self, start: int, stop: int) -> Sequence[Any]:
        return self._items[start:stop]


class InheritedSource(SequenceSource):
    """A sequence that was there when the workers were forked."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        self.is_plain = self.is_inherited = True


class WindowSource(Source):
    """What has been pulled from an iterator and may still be needed, by index.

    One thread appends, one releases, and a third may slice meanwhile.
    """

    def __init__(self) -> None:
        self._items: dict[int, Any] = {}
        self._first = 0
        self._end = 0

    def append(self, item: Any) -> None:
        """The next item; only the feeder's thread adds any."""
        self._items[self._end] = item
        self._end += 1

    def extend(self, items: Sequence[Any]) -> None:
        """The next items."""
        for item in items:
            self.append(item)

    def slice(self, start: int, stop: int) -> Sequence[Any]:
        # `get`: a batch that is packed a second time, for nothing, may have been released.
        return list(map(self._items.get, range(start, stop)))

    def release(self, below: int) -> None:
        while self._first < below:
            # In this order: struck in between, the item is released again.
            self._items.pop(self._first, None)
            self._first += 1


class CallJob(Job):
    """Every submit of one executor: open until it is shut down, its items known one by one.

    `inbox` is where submitters put calls, without the lock; under the lock they move on to `calls`, under
    the index that is their item's from then on.
    """

    def __init__(self, spec: JobSpec) -> None:
        super().__init__(spec, Source(), CALL, 0, packs_quietly=True)
        self.inbox: deque[Call] = deque()
        self.closed = False
        """Nothing moves out of the inbox any more: who has put a call there too late takes it back."""
        self.calls: dict[int, Call] = {}

    def is_outstanding(self) -> bool:
        return bool(self.calls or (self.inbox and not self.closed))

    def has_grown(self) -> bool:
        return bool(self.inbox and not self.closed) or self.total > self.told

    def admit(self) -> int:
        inbox, calls, total = self.inbox, self.calls, self.total
        if self.closed:
            return total
        while inbox:
            call = inbox[0]
            call[0]._index = total
            calls[total] = call
            # In this order: struck in between, the call is admitted again under the same index.
            self.total = total + 1
            inbox.popleft()
            total += 1
        return total

    def note_tries(self, index: int, tries: int) -> None:
        """Nobody asks: a future has its error and no record."""

    def describe(self, index: int) -> Arguments:
        call = self.calls.get(index)
        if call is None:
            return NOTHING_KNOWN
        _, function, payload = call
        try:
            if isinstance(payload, list):
                text = shorten_call(payload, {})
            else:
                item = payload if isinstance(payload, tuple) else outline(payload)
                text = shorten_call(*(item if function else item[1:]))
        except Exception:
            text = None
        return Arguments(text, packed_size(payload))

    def message(self, packer: Packer, batch: Batch) -> tuple[BatchMessage, set[int]]:
        start, count = batch.start, batch.stop - batch.start
        calls = list(map(self.calls.get, range(start, batch.stop)))
        # One alone goes as a piece, for which the frame is made and read more quickly.
        function, lists = _of_one_function(calls) if count > 1 else (0, [])
        if function:
            body = packer.calls(lists)
            return BatchMessage(batch.id, batch.seq, start, count, function, CALL, WHOLE, body), {function}
        pieces: list[Piece] = [
            _MISSED
            if call is None
            else (call[1], packer.packed(call[2]))
            if type(call[2]) is list
            else call[1:]
            for call in calls
        ]
        functions = {tag for tag, _ in pieces}
        functions -= _NO_FUNCTIONS
        return BatchMessage(batch.id, batch.seq, start, count, 0, CALL, EACH, pieces), functions


def _of_one_function(calls: list[Call | None]) -> tuple[int, list[Any]]:
    """The number of the function of all these calls and the list of each one's arguments; 0 if they differ."""
    first = calls[0]
    function = 0 if first is None else first[1]
    lists: list[Any] = []
    for call in calls:
        if call is None or call[1] != function or type(call[2]) is not list:
            return 0, lists
        lists.append(call[2])
    return function, lists
