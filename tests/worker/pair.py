"""A parent's packer and a worker's runner, joined in memory: no process, no thread, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from phalanx._base.page import CLAIM, CURRENT, LIMIT, NO_LIMIT
from phalanx._engine.arrivals import Segment
from phalanx._engine.direct import DirectPacker
from phalanx._engine.packing import Packer, PicklePacker
from phalanx._platform.pages import LocalPages
from phalanx._wire import frames
from phalanx._wire.frames import BatchMessage, ResultsMessage
from phalanx._worker.loop import Loop
from phalanx._worker.outcomes import DirectCodec, PickleCodec
from phalanx._worker.outlet import DirectOutlet, Outlet
from phalanx._worker.runner import Runner

UNDECODABLE = "undecodable"


class Page:
    """A page that can act when one of its words is read or written."""

    def __init__(self) -> None:
        self.words = LocalPages(1).page(0)
        self.words[LIMIT] = NO_LIMIT
        self.last_begun = 0
        """The last item that `CURRENT` named; it names none while several outcomes are written."""
        self.on_write: Callable[[int, int], None] = lambda word, value: None
        self.on_read: Callable[[int], None] = lambda word: None

    def __setitem__(self, word: int, value: int) -> None:
        self.words[word] = value
        if word == CURRENT and value:
            self.last_begun = value
        self.on_write(word, value)

    def __getitem__(self, word: int) -> int:
        self.on_read(word)
        return self.words[word]

    @property
    def current(self) -> int:
        return self.words[CURRENT]

    @property
    def claim(self) -> int:
        return self.words[CLAIM]

    @property
    def limit(self) -> int:
        return self.words[LIMIT]

    @limit.setter
    def limit(self, seq: int) -> None:
        self.words[LIMIT] = seq


class Pair:
    """One parent, one worker. `send` what the parent says; `results` is what the worker answered."""

    def __init__(self, direct: bool = False) -> None:
        self.packer: Packer = DirectPacker(attach) if direct else PicklePacker(attach)
        self.page = Page()
        self.sent: list[Any] = []
        self.outlet = DirectOutlet(self.sent.append, self.wake) if direct else Outlet(self.sent.append)
        self.runner = Runner(self.page, self.outlet, DirectCodec() if direct else PickleCodec())
        self.loop = Loop(self.page, self.outlet, self.runner)
        self.loop._flusher.watch = lambda batch: None  # type: ignore[method-assign]
        self.on_wake: Callable[[], object] = lambda: None
        self._direct = direct
        self._batches = 0
        self._seq = 0

    def wake(self) -> None:
        """What a worker in this process does for its parent to look."""
        self.on_wake()

    def learn(self, number: int, function: Any) -> None:
        """From now on `number` stands for the function; functions of the packer's own making arrive so."""
        payload = self.packer.function(function)
        if self._direct:
            self.runner.learn(number, payload)
        else:
            [(_, body)], _ = frames.split_frames(frames.pack_function(number, payload))
            known, data = frames.unpack_function(body)
            self.runner.learn(known, bytes(data))

    def forget(self, number: int) -> None:
        self.runner.forget(number)

    def map(self, function: int, items: Sequence[Any], style: int = frames.SINGLE, start: int = 0) -> int:
        """Run a batch of a map; returns its number."""
        form, body = self.packer.items(items)
        return self.run(start, len(items), function, style, form, body)

    def call(self, *calls: Any) -> int:
        """Run submitted calls: (function, args, kwargs) or a piece."""
        pieces = [
            (frames.OWN_FUNCTION, self.packer.call(call[1], call[2], call[0])) if len(call) == 3 else call
            for call in calls
        ]
        return self.run(0, len(pieces), 0, frames.CALL, frames.EACH, pieces)

    def call_listed(self, function: int, *lists: list[Any]) -> int:
        """Run submitted calls of one function, whose arguments were pickled together."""
        body = self.packer.calls(list(lists))
        return self.run(0, len(lists), function, frames.CALL, frames.WHOLE, body)

    def run(self, start: int, count: int, function: int, style: int, form: int, body: Any) -> int:
        self._batches += 1
        message = BatchMessage(self._batches, self._seq, start, count, function, style, form, body)
        self._seq += count
        if not self._direct:
            [(_, packed)], _ = frames.split_frames(frames.pack_batch(message))
            message = frames.unpack_batch(packed)
        self.loop.run(message, lambda batch: (UNDECODABLE, batch))
        return self._batches

    def messages(self) -> Iterator[ResultsMessage]:
        """What the worker has sent, in order."""
        for frame in self.sent:
            if isinstance(frame, tuple):
                assert self._direct
                yield frame[1]
            else:
                [(kind, body)], _ = frames.split_frames(frame)
                assert kind == frames.RESULTS
                yield frames.unpack_results(body)

    def outcomes(self) -> list[tuple[bool, Any]]:
        """(succeeded, value) of every item that has come back, checked to be without gaps."""
        found: list[tuple[bool, Any]] = []
        expected: dict[int, int] = {}
        for message in self.messages():
            assert message.first == expected.get(message.batch, 0)
            expected[message.batch] = message.first + message.count
            segment = Segment(0, message.count, message.form, message.body)
            found += self.packer.outcomes(segment)
        return found

    def values(self) -> list[Any]:
        outcomes = self.outcomes()
        assert all(succeeded for succeeded, _ in outcomes), outcomes
        return [value for _, value in outcomes]


def attach(error: BaseException, text: str) -> None:
    error.__cause__ = Exception(text)
