"""Running the items of a batch.

Before it runs items, the worker *claims* them: it stores the end of the claim in the page and only then
reads `LIMIT`, which the parent lowers to take back what has not started. Whichever store comes first, both
sides agree on who has the items (Dekker's argument; the lock in `_claim` keeps a processor from doing the
load before the store). A call is claimed by itself; of a map's items as many as fill `CLAIM_NANOSECONDS`,
and when one of those turns out long, the flusher gives the rest of the claim back (`give_back`).

The number of each item is stored in the page before the item begins, so that a death is blamed on the item
that caused it. It stands until the item's outcome is packed, and while that is written, if it is the only one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from time import monotonic_ns
from typing import Any

from phalanx._base.page import CLAIM, CURRENT, LIMIT, START_NS, TIMED
from phalanx._wire.frames import (
    CALL,
    EACH,
    ERROR,
    INHERITED,
    LOADED,
    OWN_FUNCTION,
    SINGLE,
    SKIPPED,
    VALUE,
    BatchMessage,
    Piece,
)
from phalanx._worker.outcomes import MISSING, CallArguments, Codec, Packed
from phalanx._worker.outlet import PLAIN, Outlet, are_plain
from phalanx._worker.surroundings import is_entered, stand

# Long enough that a claim costs under one per cent, short enough that little waits behind a surprise.
CLAIM_NANOSECONDS = 1_000_000
_LARGEST_CLAIM = 4096
_SKIP = Packed(SKIPPED, b"")
_ENDED_BEFORE = frozenset((ERROR, SKIPPED))


class Undecodable(Exception):
    """The items of a batch could not be rebuilt; they shall come again one by one."""


class Runner:
    """Runs batches, one at a time, on the worker's own thread."""

    def __init__(self, page: Any, outlet: Outlet, codec: Codec, inherited: Any = None) -> None:
        """`inherited`: function and items of the one call that this worker was forked for."""
        self._page = page
        self._outlet = outlet
        self._codec = codec
        self._inherited = inherited
        self._functions: dict[int, Any] = {}
        self._claims: dict[int, int] = {}
        self._now = monotonic_ns()
        self._timed = 0
        self._fence = threading.Lock()
        self._message: BatchMessage | None = None
        # What `give_back` needs: the items of the current claim, their iterator, the first one's number.
        self._claimed: tuple[list[Any], Iterator[Any], int] | None = None

    def learn(self, number: int, payload: Any) -> None:
        """`number` stands for this function from now on; it is rebuilt at its first use."""
        self._functions[number] = Packed(VALUE, payload)

    def forget(self, number: int) -> None:
        """`number` will not be used again."""
        self._functions.pop(number, None)
        self._claims.pop(number, None)

    def index(self) -> int | None:
        """Of the item that is running, in the input of its call."""
        message = self._message
        if message is None:
            return None
        place = int(self._page[CURRENT]) - 1 - message.seq
        return message.start + place if 0 <= place < message.count else None

    def run(self, message: BatchMessage) -> None:
        """Run what the parent lets us run of this batch, and send the outcomes."""
        self._message = message
        try:
            self._run(message)
        finally:
            self._message = None  # an idle worker keeps nobody's items alive

    def _run(self, message: BatchMessage) -> None:
        self._timed = self._page[TIMED]
        if message.form == EACH:
            self._run_pieces(message, message.body)
        elif message.form == INHERITED:
            self._functions[message.function], items = self._inherited
            items = items[message.start : message.start + message.count]
            self._run_items(message, items, self._outlet.begin(message.batch))
        else:
            self._run_whole(message)
        if message.count > 1:
            self._stand_between_items()
        self._outlet.end()

    def _run_whole(self, message: BatchMessage) -> None:
        try:
            items = self._load(message.body, message.function)
        except BaseException as error:
            if message.count > 1:
                raise Undecodable from error
            outcomes = self._outlet.begin(message.batch)
            if self._claim(message.seq, message.seq + 1) > message.seq:
                self._page[CURRENT] = message.seq + 1
                outcomes.append(self._codec.failure(error, message.start))
                self._outlet.is_plain = False
        else:
            if message.style == CALL:
                self._run_pieces(message, [(LOADED, args) for args in items])
            else:
                self._run_items(message, items, self._outlet.begin(message.batch))

    def _stand_between_items(self) -> None:
        """Before outcomes are written: if they are several, a death during that is not the last one's doing."""
        if self._outlet.waiting() > 1:
            self._page[CURRENT] = 0

    def got_on_at(self) -> int:
        """When the last claim was made, in nanoseconds of the monotonic clock."""
        return self._now

    def give_back(self) -> bool:
        """Give up what has not begun of the current claim; called by the flusher while an item runs.

        Says whether there was something.

        A list iterator looks at the list's length at every step: once the tail is cut off, none of it can
        begin, and then the page says for good how far the main thread has come.
        """
        with self._fence:
            if self._claimed is None:
                return False
            items, iterator, first = self._claimed
            at = len(items) - iterator.__length_hint__()  # type: ignore[attr-defined]
            tail = items[at:]
            del items[at:]
            begun = self._page[CURRENT] - first
            if begun > len(items):  # between the two lines above
                items.extend(tail[: begun - len(items)])
            self._page[CLAIM] = first + len(items)
            return bool(tail)

    def _claim(self, first: int, end: int) -> int:
        """Claim items up to `end`; returns how far the parent lets us go."""
        page = self._page
        with self._fence:
            self._claimed = None
            before = page[CLAIM]
            page[CLAIM] = end
        with self._fence:
            limit: int = page[LIMIT]
            if limit < end:
                end = max(limit, first)
                # Not `first`, if nothing is left: of what lies before it some may have been taken back.
                page[CLAIM] = end if end > first else before
        return end

    # -- maps: one pickle of many items ---------------------------------------------------------------

    def _run_items(self, message: BatchMessage, items: Any, outcomes: list[Any]) -> None:
        claim = self._claims.get(message.function, 1)
        done, count, seq = 0, message.count, message.seq
        while done < count:
            end = self._claim(seq + done, seq + min(done + claim, count)) - seq
            if end <= done:
                break
            began = self._now = self._page[START_NS] = monotonic_ns()
            self._run_claimed(message, list(items[done:end]), outcomes)
            taken, done = len(outcomes) - done, len(outcomes)
            now = monotonic_ns()
            claim = _next_claim(claim, taken, now - began)
            if done < count and now > self._outlet.due():
                self._stand_between_items()
                self._outlet.flush()
        self._claimed = None  # an idle worker keeps nobody's items alive
        self._claims[message.function] = claim

    def _run_claimed(self, message: BatchMessage, items: list[Any], outcomes: list[Any]) -> None:
        """Append an outcome for each item begun."""
        before = len(outcomes)
        iterator = iter(items)
        self._claimed = (items, iterator, message.seq + before)
        # Not for ever: a function that cannot be rebuilt raises although no item is left.
        while len(outcomes) - before < len(items):
            try:
                self._loop(message, iterator, outcomes)
                break
            except BaseException as error:
                self._fail_one(message, error, items, iterator, outcomes, before)
        if not are_plain(outcomes[before:] if before else outcomes):
            self._pack_from(message, outcomes, before)

    def _fail_one(
        self,
        message: BatchMessage,
        error: BaseException,
        items: list[Any],
        iterator: Iterator[Any],
        outcomes: list[Any],
        before: int,
    ) -> None:
        """Make `error` the outcome of the item that was running, or of the next if it struck between two."""
        at = len(outcomes) - before
        # The iterator knows what was begun; the page may not have been written yet.
        if len(items) - iterator.__length_hint__() <= at:  # type: ignore[attr-defined]
            next(iterator, None)
        if at < len(items):
            self._page[CURRENT] = message.seq + len(outcomes) + 1
            outcomes.append(self._codec.failure(error, message.start + len(outcomes), items[at]))

    def _loop(self, message: BatchMessage, iterator: Iterator[Any], outcomes: list[Any]) -> None:
        """The hot loop: one store in the page, one call and one append for an item."""
        page, append = self._page, outcomes.append
        function = self._function(message.function)
        if is_entered():
            stand(function)
        number = message.seq + len(outcomes) + 1
        if self._timed:
            # One step of C: the flusher must not find an item taken and not yet entered in the page.
            steps = zip(iter(monotonic_ns, None), count(number), iterator, strict=False)
            if message.style == SINGLE:
                for page[START_NS], page[CURRENT], item in steps:
                    append(function(item))
            else:
                for page[START_NS], page[CURRENT], item in steps:
                    append(function(*item))
        elif message.style == SINGLE:
            for page[CURRENT], item in enumerate(iterator, number):
                append(function(item))
        else:
            for page[CURRENT], item in enumerate(iterator, number):
                append(function(*item))

    def _pack_from(self, message: BatchMessage, outcomes: list[Any], before: int) -> None:
        """Pack what is not plain while the item's number stands in the page."""
        self._outlet.is_plain = False
        for at in range(before, len(outcomes)):
            outcome = outcomes[at]
            if type(outcome) is not Packed and type(outcome) not in PLAIN:
                if self._timed:
                    self._page[START_NS] = monotonic_ns()
                self._page[CURRENT] = message.seq + at + 1
                outcomes[at] = self._packed(outcome, message.start + at)
        self._page[CURRENT] = message.seq + len(outcomes)

    # -- calls, and items that travel one by one --------------------------------------------------------

    def _run_pieces(self, message: BatchMessage, pieces: list[Piece]) -> None:
        outcomes = self._outlet.begin(message.batch)
        self._run_one_by_one(message, pieces, outcomes)
        self._outlet.is_plain = are_plain(outcomes)

    def _run_one_by_one(self, message: BatchMessage, pieces: list[Piece], outcomes: list[Any]) -> None:
        """The hot loop of submitted calls: one claim, one store in the page, one call and one append for each."""
        page, fence, append = self._page, self._fence, outcomes.append
        number, index = message.seq, message.start
        claimed, due = page[CLAIM], self._outlet.due()
        for tag, data in pieces:
            number += 1
            # What `_claim` does for one item.
            with fence:
                page[CLAIM] = number
            with fence:
                limit = page[LIMIT]
            if limit < number:
                page[CLAIM] = claimed
                return
            claimed = number
            self._now = page[START_NS] = now = monotonic_ns()
            if now > due:
                self._stand_between_items()
                self._outlet.flush()
                due = self._outlet.due()
            page[CURRENT] = number
            outcome = self._run_piece(message, tag, data, index)
            # Not in a `try`: what strikes out of a signal handler here must not append a second outcome.
            append(outcome)
            index += 1

    def _run_piece(self, message: BatchMessage, tag: int, data: Any, index: int) -> Any:
        """The outcome of one item that travelled by itself."""
        if tag in _ENDED_BEFORE:
            return _SKIP if tag == SKIPPED else Packed(ERROR, data)
        item: Any = MISSING
        try:
            if tag == LOADED:
                item = data, {}
                tag = message.function
            else:
                item = self._load(data, tag if message.style == CALL else message.function)
            if message.style == CALL:
                if tag == OWN_FUNCTION:
                    function, args, kwargs = item
                else:
                    args, kwargs = item
                    function = self._function(tag)
                if is_entered():
                    stand(function)
                value = function(*args, **kwargs)
            else:
                function = self._function(message.function)
                if is_entered():
                    stand(function)
                value = function(item) if message.style == SINGLE else function(*item)
            return value if type(value) in PLAIN else self._packed(value, index)
        except BaseException as error:
            if message.style == CALL and item is not MISSING:
                item = CallArguments(*item[-2:])
            return self._codec.failure(error, index, item)

    def _load(self, data: Any, function: int) -> Any:
        """Items that were packed, for the function of this number."""
        try:
            return self._codec.load(data)
        except ImportError:
            if function not in self._functions:
                raise
            stand(self._function(function))  # which may bring the path on which the module is found
            return self._codec.load(data)

    def _function(self, number: int) -> Any:
        function = self._functions[number]
        if type(function) is Packed:
            function = self._codec.load(function.piece[1])
            self._functions[number] = function
        return function

    def _packed(self, value: Any, index: int) -> Packed:
        try:
            return self._codec.value(value)
        except BaseException as error:
            return self._codec.failure(error, index)


def _next_claim(claim: int, taken: int, nanoseconds: int) -> int:
    """As many items as would have filled `CLAIM_NANOSECONDS`, growing at most eightfold."""
    fitting = CLAIM_NANOSECONDS * taken // max(nanoseconds, 1)
    return max(1, min(fitting, claim * 8, _LARGEST_CLAIM))
