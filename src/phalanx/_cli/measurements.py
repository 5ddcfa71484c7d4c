"""The numbers of the demo, measured where it runs. No printing here."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import phalanx
from phalanx._cli.jobs import calls_counted, count_calls, name_process, primes_between, wait_for_answer

PRIMES_BELOW = 128_000
PIECE = 2_000
STARTS = range(0, PRIMES_BELOW, PIECE)
STOPS = range(PIECE, PRIMES_BELOW + PIECE, PIECE)
ROUNDS = 3
REQUESTS = 40
ROUTES = ("serial", "threads", "processes")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def medians(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median time of each, measured in turn, so that a machine that slows down slows down all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(measured) for name, measured in times.items()}


# Question 1


@dataclass(frozen=True)
class Division:
    """One large job: done in one piece, and divided among more and more workers."""

    pieces: int
    primes: int
    serial: float
    by_workers: dict[int, float]


def worker_counts(most: int) -> list[int]:
    """1, 2, 4, ... and the most."""
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})


def divide_a_job(most: int) -> Division:
    """Count primes alone, then in pieces by 1, 2, 4 ... workers; all must find the same."""
    found: set[int] = set()
    executors = {count: phalanx.Executor(count) for count in worker_counts(most)}

    def alone() -> None:
        found.add(primes_between(0, PRIMES_BELOW))

    def divided(executor: phalanx.Executor) -> Callable[[], None]:
        return lambda: found.add(sum(executor.map(primes_between, STARTS, STOPS)))

    try:
        for executor in executors.values():
            list(executor.map(abs, range(8)))  # the workers have started before the clock does
        works: dict[str, Callable[[], object]] = {"serial": alone}
        works.update({str(count): divided(executor) for count, executor in executors.items()})
        times = medians(works)
    finally:
        for executor in executors.values():
            executor.shutdown()
    if len(found) != 1:
        raise AssertionError(f"serial and divided work differ: {found}")
    return Division(len(STARTS), found.pop(), times.pop("serial"), {int(n): t for n, t in times.items()})


# Question 2


@dataclass(frozen=True)
class Comparison:
    """The same functions by every route; seconds, and for `shared` how many calls the caller's memory saw."""

    workers: int
    cpu: dict[str, float]
    io: dict[str, float]
    start: dict[str, float]
    shared: dict[str, int]

    def fastest(self, times: dict[str, float]) -> str:
        """The quickest route; of two within a tenth of each other, the one that starts faster."""
        close = [route for route in times if times[route] <= min(times.values()) * 1.1]
        return min(close, key=self.start.__getitem__)


def compare_routes(workers: int) -> Comparison:
    """A CPU-bound and an I/O-bound function, one after the other, on threads and on processes."""
    executors = {route: phalanx.Executor(workers, backend=route) for route in ROUTES}
    shared = {}
    try:
        for route, executor in reversed(executors.items()):  # processes before there are threads
            before = calls_counted()
            list(executor.map(count_calls, range(100)))
            shared[route] = calls_counted() - before

        def cpu(executor: phalanx.Executor) -> Callable[[], object]:
            return lambda: list(executor.map(primes_between, STARTS, STOPS))

        def io(executor: phalanx.Executor) -> Callable[[], object]:
            return lambda: list(executor.map(wait_for_answer, range(REQUESTS)))

        cpu_times = medians({route: cpu(executor) for route, executor in executors.items()})
        io_times = medians({route: io(executor) for route, executor in executors.items()})
    finally:
        for executor in executors.values():
            executor.shutdown()
    start = medians({route: partial(start_and_stop, workers, route) for route in ROUTES})
    return Comparison(workers, cpu_times, io_times, start, shared)


def start_and_stop(workers: int, backend: str) -> None:
    with phalanx.Executor(workers, backend=backend) as executor:
        list(executor.map(abs, range(workers)))


# Questions 3, 5 and 6


@dataclass(frozen=True)
class ProgramRun:
    """A program of the demo, and what it printed."""

    source: str
    output: str
    seconds: float


class ProgramFailed(Exception):
    """A program of the demo ended with an error."""


def run_program(name: str) -> ProgramRun:
    """Run a program that comes with the package in an interpreter of its own."""
    path = files("phalanx._cli").joinpath("programs", f"{name}.py")
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    took = time.perf_counter() - begun
    if done.returncode != 0:
        raise ProgramFailed(f"{name}.py failed:\n{done.stderr}")
    return ProgramRun(path.read_text(encoding="utf-8"), done.stdout, took)


# Question 4


@dataclass(frozen=True)
class Reuse:
    """Who did the items of one pool, and what it costs to make a pool for every call instead."""

    items_by_pid: dict[int, int]
    calls: int
    one_pool: float
    pool_per_call: float


def reuse_workers(workers: int, items: int = 400, calls: int = 20) -> Reuse:
    """Seconds per call, with one pool for all calls and with a new pool for each."""
    with phalanx.Pool(workers) as pool:
        items_by_pid = Counter(pool.map(name_process, range(items)))

        def keep() -> None:
            for _ in range(calls):
                pool.map(abs, range(8))

        def make() -> None:
            for _ in range(calls):
                with phalanx.Pool(workers) as short_lived:
                    short_lived.map(abs, range(8))

        times = medians({"keep": keep, "make": make})
    return Reuse(dict(items_by_pid), calls, times["keep"] / calls, times["make"] / calls)
