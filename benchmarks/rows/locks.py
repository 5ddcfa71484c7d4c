"""Locks that nobody else wants: what it costs that they survive their holder."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import Bar, Contender, Params, Row, judge_times

TIMES = 100_000


def _by_with(lock: Any) -> None:
    for _ in range(TIMES):
        with lock:
            pass


def _by_calls(lock: Any) -> None:
    acquire, release = lock.acquire, lock.release
    for _ in range(TIMES):
        acquire()
        release()


def _locking(module: str, use: Callable[[Any], None]) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        lock = importlib.import_module(module).Lock()

        def play() -> float:
            begun = time.perf_counter()
            use(lock)
            return time.perf_counter() - begun

        yield play

    return contender


def _row(name: str, work: str, use: Callable[[Any], None], bar: float) -> Row:
    return Row(
        name=name,
        work=f"{TIMES:,} × {work}",
        contenders={module: _locking(module, use) for module in ("phalanx", "multiprocessing")},
        judge=judge_times,
        bars=(Bar("multiprocessing", bar),),
    )


ROWS = (
    _row("lock-with", "with a Lock that nobody else wants", _by_with, 2.5),
    _row("lock-calls", "acquire and release of it", _by_calls, 5.0),
)
