"""Talking to workers that are in this process: nothing is packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx._engine.packing import FAILURES, Outcome, Packer, add_note
from phalanx._memory import Repeats
from phalanx._memory.shared import alive, unwrap
from phalanx._wire import frames
from phalanx._wire.frames import EACH, VALUE, BatchMessage


class DirectPacker(Packer):
    """For workers in this process: objects go as they are."""

    keeps_objects = True

    def function(self, function: Any) -> Any:
        return function

    def reference(self, function: Any) -> Any:
        return function

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *own: Any) -> Any:
        if alive:
            args, kwargs = tuple(map(unwrap, args)), unwrap(kwargs)
        return (*own, args, kwargs)

    def items(self, items: Sequence[Any], repeats: Repeats | None = None) -> tuple[int, Any]:
        if alive:
            return EACH, [(VALUE, unwrap(item)) for item in items]
        return EACH, [(VALUE, item) for item in items]

    def messages(self, functions: list[tuple[int, Any]], batch: BatchMessage, stale: list[int]) -> Any:
        parts: list[tuple[int, Any]] = [(frames.FORGET, number) for number in stale]
        parts += [(frames.FUNCTION, pair) for pair in functions]
        return [*parts, (frames.BATCH, batch)]

    def stop(self) -> Any:
        return [(frames.STOP, None)]

    def read(self, kind: int, body: Any) -> Any:
        if kind != frames.START_FAILED:
            return body
        error, text, _ = body
        self._attach(error, text)
        return lambda: error

    def outcome(self, tag: int, data: Any) -> Outcome:
        if tag not in FAILURES:
            return True, data
        error, _, note = data
        add_note(error, note)
        return False, error
