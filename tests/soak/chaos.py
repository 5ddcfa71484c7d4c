"""A killer among the workers: sends them signals at random moments, and keeps book.

It signals only processes that the pool under test has just named, through descriptors that can mean no other.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

from phalanx import Executor

STOPPED_SECONDS = 0.1


@dataclass
class Deeds:
    """What the killer has done."""

    sent: Counter[str] = field(default_factory=Counter)
    killed: dict[int, int] = field(default_factory=dict)
    """By process: when, in nanoseconds of the monotonic clock."""

    @property
    def kills(self) -> int:
        return self.sent["SIGKILL"] + self.sent["SIGTERM"] + self.sent["nursery"]


class Killer:
    """Strikes about every `pause` seconds until it is told to stop. Use as a context."""

    def __init__(self, executor: Executor, pause: float, seed: int) -> None:
        self._executor = executor
        self._pause = pause
        self._random = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")
        self.deeds = Deeds()
        self.error: BaseException | None = None

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._end.wait(self._random.uniform(0.2, 1.8) * self._pause):
                self._strike()
        except BaseException as error:
            self.error = error

    def _strike(self) -> None:
        workers = [worker for worker in self._executor.status() if worker.pid]
        if not workers:
            return
        way = self._random.choices(["SIGKILL", "SIGTERM", "SIGSTOP", "nursery"], [60, 25, 12, 3])[0]
        pid = self._nursery() if way == "nursery" else self._random.choice(workers).pid
        if pid is None:
            return
        with suppress(ProcessLookupError):  # it has just ended
            descriptor = os.pidfd_open(pid)
            try:
                self._send(descriptor, pid, way, [worker.pid or 0 for worker in workers])
            finally:
                os.close(descriptor)

    def _send(self, descriptor: int, pid: int, way: str, workers: list[int]) -> None:
        if way == "SIGSTOP":
            signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
            self._end.wait(STOPPED_SECONDS)
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        else:
            signum = signal.SIGTERM if way == "SIGTERM" else signal.SIGKILL
            # Noted before: a worker that dies of it must be known when its items are looked at.
            now = monotonic_ns()
            for each in workers if way == "nursery" else [pid]:
                self.deeds.killed.setdefault(each, now)
            signal.pidfd_send_signal(descriptor, signum)
        self.deeds.sent[way] += 1

    def _nursery(self) -> int | None:
        session: Any = self._executor._shut.session
        nursery = getattr(session.engine.launcher, "_nursery", None)
        return nursery.forks[0] if nursery is not None and nursery.forks else None
