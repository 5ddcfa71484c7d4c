"""Handing outcomes of submitted calls to those who hold their futures. Runs without the lock."""

from __future__ import annotations

from typing import Any, Protocol

from phalanx._engine.arrivals import LOCAL, Segment
from phalanx._engine.jobs import CallJob
from phalanx._engine.packing import Packer
from phalanx._wire.frames import SKIPPED, WHOLE


class Receiver(Protocol):
    """Who gets a call's outcome. Being told twice must do no harm."""

    _index: int

    def _resolve(self, succeeded: bool, value: Any, pid: int) -> None:
        """The outcome itself."""

    def _resolve_packed(self, tag: int, data: bytes, packer: Packer, pid: int) -> None:
        """The outcome as bytes, to be rebuilt by whoever asks for it."""


class Delivery:
    """Delivers one job's segments."""

    def __init__(self, job: CallJob, packer: Packer) -> None:
        self._job = job
        self._packer = packer

    def __call__(self, segment: Segment) -> None:
        if segment.taken:
            return
        if segment.form == WHOLE:
            self._deliver_plain(segment)
        elif segment.form == LOCAL:
            self._deliver_local(segment)
        else:
            self._deliver_pieces(segment)
        self._job.arrivals.take(segment)

    def _deliver_plain(self, segment: Segment) -> None:
        calls, pid, index = self._job.calls, segment.pid, segment.start
        for value in self._packer.values(segment):
            call = calls.get(index)
            if call is not None:
                call[0]._resolve(True, value, pid)
                calls.pop(index, None)
            index += 1

    def _deliver_local(self, segment: Segment) -> None:
        for index in range(segment.start, segment.stop):
            call = self._job.calls.get(index)
            if call is not None:
                call[0]._resolve(False, segment.body(index), segment.pid)
                self._job.calls.pop(index, None)

    def _deliver_pieces(self, segment: Segment) -> None:
        index = segment.start
        for tag, data in segment.body:
            call = self._job.calls.get(index)
            if call is not None and tag != SKIPPED:
                if self._packer.keeps_objects:
                    call[0]._resolve(*self._packer.outcome(tag, data), segment.pid)
                else:
                    # A copy, or a small result would keep the whole chunk alive that it came in.
                    own = bytes(data) if type(data) is memoryview else data
                    call[0]._resolve_packed(tag, own, self._packer, segment.pid)
            self._job.calls.pop(index, None)
            index += 1
