"""Runs one row: starts a process per contender, warms up, then lets them play in turn, round after round."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Report, Row, Sample

ROOT = Path(__file__).parent.parent
PATIENCE = 180.0  # seconds for one round; nothing here takes more than a few


class Seat:
    """The coordinator's end of one contender process."""

    def __init__(self, row: Row, contender: str, params: Mapping[str, Any]) -> None:
        self.name = contender
        self.values: list[float] = []
        self.trouble = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contender", row.name, contender, json.dumps(params)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # one signal reaches its workers too
        )
        self._receive()

    def ask(self) -> None:
        """Begin a round."""
        assert self.process.stdin is not None
        if not self.trouble:
            self.process.stdin.write("round\n")
            self.process.stdin.flush()

    def take(self) -> Any:
        """Wait for the end of the round and return its reading."""
        return None if self.trouble else self._receive().get("reading")

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(PATIENCE) else "hung"
        if line == "hung":
            answer = {"trouble": f"hung for {PATIENCE:.0f} s"}
        else:
            answer = json.loads(line) if line else {"trouble": "died"}
        self.trouble = answer.get("trouble", "")
        return answer

    def leave(self) -> None:
        """Let it clear up; make sure that nothing of it stays."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=0.1 if self.trouble else 20.0)
        except subprocess.TimeoutExpired:
            self.trouble = self.trouble or "hung while closing"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run_row(row: Row, quick: bool, tell: Callable[[str], None]) -> Report:
    """Measure one row. `tell` hears what is going on."""
    params = row.prepare(quick)
    rounds = row.quick_rounds if quick else row.rounds
    seats: list[Seat] = []
    try:
        for contender in row.contenders:
            tell(f"{row.name}: starting {contender}")
            seats.append(Seat(row, contender, params))
        readings: dict[str, list[Any]] = {seat.name: [] for seat in seats}
        for number in range(-1, rounds):  # round -1 warms up and is not counted
            tell(f"{row.name}: round {number + 1} of {rounds}")
            for seat, reading in _play(seats, together=row.together):
                if number >= 0 and reading is not None:
                    readings[seat.name].append(reading)
    finally:
        for seat in seats:
            seat.leave()
    return row.judge(row, _sum_up(seats, readings))


def _play(seats: list[Seat], together: bool) -> list[tuple[Seat, Any]]:
    if together:
        for seat in seats:
            seat.ask()
        return [(seat, seat.take()) for seat in seats]
    played = []
    for seat in seats:
        seat.ask()
        played.append((seat, seat.take()))
    return played


def _sum_up(seats: list[Seat], readings: Mapping[str, list[Any]]) -> dict[str, Sample]:
    """One sample per contender, and one per named reading: ``contender.reading``."""
    samples: dict[str, Sample] = {}
    for seat in seats:
        seen = readings[seat.name]
        if seat.trouble or not seen:
            samples[seat.name] = Sample(trouble=seat.trouble or "no reading")
        elif isinstance(seen[0], dict):
            for key in seen[0]:
                samples[f"{seat.name}.{key}"] = Sample(tuple(reading[key] for reading in seen))
        else:
            samples[seat.name] = Sample(tuple(seen))
    return samples
