"""Rounds of work under fire: every item must have its one right end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from phalanx import Executor
from phalanx.errors import TaskError, TaskTimeout, WorkerLost
from tests.soak.chaos import Killer
from tests.soak.ledger import Ledger

WORKERS = 2
ITEMS = 400
# No round takes longer, kills and replaced workers included, unless something hangs.
LONGEST_ROUND = 120.0


@dataclass
class Tally:
    """Figures of a run."""

    items: int = 0
    kills: int = 0
    lost_to_kills: int = 0
    lost: int = 0
    wrong: int = 0
    repeated_within_promise: int = 0
    repeated: int = 0
    hangs: int = 0
    leaks: int = 0
    rounds: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.wrong or self.repeated or self.hangs or self.leaks)

    def __str__(self) -> str:
        lines = [
            f"rounds                        {self.rounds:>9,}",
            f"items                         {self.items:>9,}",
            f"kills survived                {self.kills:>9,}",
            f"items that died of them       {self.lost_to_kills:>9,}",
            f"lost                          {self.lost:>9,}",
            f"wrong                         {self.wrong:>9,}",
            f"repeated, as documented       {self.repeated_within_promise:>9,}",
            f"repeated beyond that          {self.repeated:>9,}",
            f"hangs                         {self.hangs:>9,}",
            f"leaks                         {self.leaks:>9,}",
        ]
        return "\n".join([*lines, *self.notes])


def work(job: tuple[Ledger, int]) -> int:
    """An item of mixed cost: most take no time, some a millisecond, few twenty, and some return much."""
    ledger, item = job
    if item % 40 == 7:
        time.sleep(0.02)
    elif item % 5 == 3:
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass
    ledger.note(item)
    return item * item


def padded(job: tuple[Ledger, int]) -> tuple[int, bytes]:
    value = work(job)
    return value, bytes(value % 100_000)


class Guard:
    """Counts what this process holds; what is more afterwards has leaked."""

    def __init__(self) -> None:
        self._before = self._counts()

    @staticmethod
    def _counts() -> dict[str, set[Any]]:
        me = psutil.Process()
        return {
            "process": {child.pid for child in me.children(recursive=True) if child.is_running()},
            "descriptor": set(os.listdir("/proc/self/fd")),
            "thread": {thread.ident for thread in threading.enumerate()},
            "shared memory": set(os.listdir("/dev/shm")),
        }

    def leaked(self) -> Iterator[str]:
        until = time.monotonic() + 5
        more: dict[str, set[Any]] = {}
        while time.monotonic() < until:
            now = self._counts()
            more = {kind: now[kind] - self._before[kind] for kind in now}
            if not any(more.values()):
                return
            time.sleep(0.05)  # what ends by itself may take a moment
        for kind, extra in more.items():
            yield from (f"leaked {kind}: {one}" for one in extra)


def one_round(tally: Tally, method: str, number: int, pause: float, folder: Path) -> None:
    """An executor of its own, several calls at once, and a killer."""
    ledger = Ledger(folder / f"round-{number}")
    tries = number % 3
    timeout = 10.0 if number % 2 else None
    executor = Executor(
        WORKERS, start_method=method, on_error="collect", crash_retries=tries, timeout=timeout
    )
    with executor:
        executor.submit(os.getpid).result()
        with Killer(executor, pause, seed=number) as killer:
            outcomes = _run(executor, ledger, tally)
        if outcomes is None:
            tally.hangs += 1
            tally.notes.append(f"round {number} by {method} hangs: {executor.status()}")
            executor.shutdown(wait=False, cancel_futures=True)
            return
        again = list(executor.map(abs, range(-50, 0)))
        if again != list(range(50, 0, -1)):
            tally.wrong += 1
            tally.notes.append(f"round {number}: the pool is not usable afterwards")
    _judge(outcomes, tally, killer)
    within, beyond = ledger.repeated(killer.deeds.killed)
    tally.repeated_within_promise += within
    tally.repeated += beyond
    tally.kills += killer.deeds.kills
    tally.rounds += 1
    Path(ledger.path).unlink()


def _run(executor: Executor, ledger: Ledger, tally: Tally) -> list[tuple[int, Any]] | None:
    """(item, outcome) of everything; None if it takes too long."""
    until = time.monotonic() + LONGEST_ROUND
    third = ITEMS // 4
    futures = [executor.submit(work, (ledger, item)) for item in range(third)]
    mapped = executor.map(work, [(ledger, item) for item in range(third, 3 * third)], timeout=LONGEST_ROUND)
    streamed = executor.stream(padded, ((ledger, item) for item in range(3 * third, ITEMS)))
    outcomes: list[tuple[int, Any]] = []
    for item, result in enumerate(streamed, 3 * third):
        outcomes.append((item, result if isinstance(result, TaskError) else result[0]))
        if time.monotonic() > until:
            return None
    try:
        outcomes += enumerate(mapped, third)
        for item, future in enumerate(futures):
            error = future.exception(max(0.0, until - time.monotonic()))
            outcomes.append((item, future.result() if error is None else error))
    except TimeoutError:
        return None
    tally.items += ITEMS
    return outcomes


def _judge(outcomes: list[tuple[int, Any]], tally: Tally, killer: Killer) -> None:
    seen = {item for item, _ in outcomes}
    tally.lost += ITEMS - len(seen)
    for item, outcome in outcomes:
        error = outcome.exception if isinstance(outcome, TaskError) else outcome
        if isinstance(error, WorkerLost | TaskTimeout):
            tally.lost_to_kills += 1
            if error.pid not in killer.deeds.killed:
                tally.wrong += 1
                tally.notes.append(f"item {item}: {error!r}, and nobody has killed that worker")
        elif outcome != item * item:
            tally.wrong += 1
            tally.notes.append(f"item {item}: {outcome!r}")
