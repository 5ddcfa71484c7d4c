"""Single calls: many at once, one there and back, and with many more workers than cores."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import Bar, Contender, Params, Row, judge_times
from benchmarks.peers import MAPPERS, SUBMITTERS, WORKERS, Peer, executor_of
from benchmarks.tasks import expect, identity

CALLS_THERE_AND_BACK = 500


def _submitting(peer: Peer, count: int) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        with peer.submitter() as submit_all:

            def play() -> float:
                begun = time.perf_counter()
                results = submit_all(identity, range(count))
                elapsed = time.perf_counter() - begun
                expect(results, range(count))
                return elapsed

            yield play

    return contender


def _there_and_back(call: Callable[[int], object]) -> float:
    """Seconds per call."""
    begun = time.perf_counter()
    for number in range(CALLS_THERE_AND_BACK):
        call(number)
    return (time.perf_counter() - begun) / CALLS_THERE_AND_BACK


def _one_call(peer: Peer, bind: Callable[[Any], Callable[[int], object]]) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        with peer.open() as pool:
            call = bind(pool)
            yield lambda: _there_and_back(call)

    return contender


@contextmanager
def raw_pipe_between_cores(params: Params) -> Iterator[Callable[[], float]]:
    """The same with the two processes on different processors, where a pool's processes are."""
    here, there, *_ = sorted(os.sched_getaffinity(0)) * 2
    os.sched_setaffinity(0, {there})
    with raw_pipe(params) as play:
        os.sched_setaffinity(0, {here})
        yield play


@contextmanager
def raw_pipe(params: Params) -> Iterator[Callable[[], float]]:
    """What the system itself takes: one byte to another process and back, through two pipes."""
    there_read, there_write = os.pipe()
    back_read, back_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(there_write)
        while byte := os.read(there_read, 1):
            os.write(back_write, byte)
        os._exit(0)
    os.close(there_read)
    os.close(back_write)

    def call(_: int) -> bytes:
        os.write(there_write, b"x")
        return os.read(back_read, 1)

    yield lambda: _there_and_back(call)
    os.close(there_write)
    os.waitpid(child, 0)


@contextmanager
def bare_call(params: Params) -> Iterator[Callable[[], float]]:
    """What Python itself takes: function and argument pickled, called in another process, the result pickled."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            while data := theirs.recv(65_536):
                function, args, kwargs = pickle.loads(data)
                theirs.send(pickle.dumps(function(*args, **kwargs), 5))
        finally:
            os._exit(0)
    theirs.close()

    def call(number: int) -> Any:
        ours.send(pickle.dumps((identity, (number,), {}), 5))
        return pickle.loads(ours.recv(65_536))

    yield lambda: _there_and_back(call)
    ours.close()
    os.waitpid(child, 0)


def _apply(pool: Any) -> Callable[[int], object]:
    return lambda number: pool.apply(identity, (number,))


def _submit_and_wait(executor: Any) -> Callable[[int], object]:
    return lambda number: executor.submit(identity, number).result()


ROWS = (
    Row(
        name="submit",
        work="5,000 × submit, then all results",
        contenders={name: _submitting(peer, 5_000) for name, peer in SUBMITTERS.items()},
        judge=judge_times,
        bars=(Bar("multiprocessing", 1 / 10), Bar("concurrent.futures", 1 / 30)),
        rounds=7,
    ),
    Row(
        name="call",
        work="one call there and back",
        contenders={
            "phalanx": _one_call(MAPPERS["phalanx"], _apply),
            "multiprocessing": _one_call(MAPPERS["multiprocessing"], _apply),
            "concurrent.futures": _one_call(MAPPERS["concurrent.futures"], _submit_and_wait),
            "loky": _one_call(MAPPERS["loky"], _submit_and_wait),
            "mpire": _one_call(MAPPERS["mpire"], _apply),
            "pebble": _one_call(
                MAPPERS["pebble"], lambda pool: lambda number: pool.schedule(identity, (number,)).result()
            ),
            "pipe": raw_pipe,
            "pipe between cores": raw_pipe_between_cores,
            "a bare call": bare_call,
        },
        judge=judge_times,
        bars=(Bar("multiprocessing", 0.4), Bar("pipe", 4.5, label="a raw pipe")),
    ),
    Row(
        name="wide",
        work="64 workers on these cores, 20,000 × submit",
        contenders={
            "phalanx": _submitting(executor_of(64), 20_000),
            "2 workers": _submitting(executor_of(WORKERS), 20_000),
        },
        judge=judge_times,
        bars=(Bar("2 workers", 2.0, label="with 2 workers"),),
    ),
)
