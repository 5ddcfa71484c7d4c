"""Submitted calls: one open job for all that are given the same options, and the functions workers know by number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from phalanx._api.wrapping import wrapped, wrapping
from phalanx._base.options import Options
from phalanx._engine.calls import Delivery
from phalanx._engine.driver import Driver
from phalanx._engine.engine import Engine
from phalanx._engine.jobs import CallJob
from phalanx._engine.packing import Packer
from phalanx._policy import CancelAsked, JobSealed, JobSpec
from phalanx._worker.surroundings import Record

_BY_REFERENCE = (FunctionType, BuiltinFunctionType, type)
_KEEP_FUNCTIONS = 1024
# A thread that submits one call after the other looks after the workers now and then, or they would be idle until it
# is through: after so many calls for each worker, which then gets two batches of half as many. 5,000 trivial calls on
# two workers took 2.5 us each without it; with 64, 128, 256, 512 here 2.8, 2.4, 2.0, 2.1 us.
_LOOK_EVERY = 256


class Calling:
    """Submits calls to one engine."""

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        packer: Packer,
        numbers: Iterator[int],
        look_around: Callable[[], Record | None],
    ) -> None:
        """`look_around`: what the caller has around it that workers have not, if anything."""
        self._engine = engine
        self._driver = driver
        self._packer = packer
        self._pack = packer.call
        self._numbers = numbers
        self._look_around = look_around
        self._known: dict[Any, int] = {}
        self._lanes: dict[Any, Lane] = {}
        self._look_at = _LOOK_EVERY * engine.size
        # Where anything may be defined anew at any time. A program defines a function before it first hands it over.
        self._is_at_prompt = hasattr(sys, "ps1") or bool(sys.flags.interactive) or "IPython" in sys.modules
        self._opened: list[Lane] = []
        """Every one: of two threads that first use the same options each opens a lane, and one is used."""

    def lane(self, options: Options) -> Lane:
        """Where calls with these options go; opened by the first of them."""
        key = (
            *(options.timeout, options.retries, options.retry_on),
            *(options.backoff, options.crash_retries, options.seed),
        )
        return self._lanes.get(key) or self._lanes.setdefault(key, self._open(options))

    def _open(self, options: Options) -> Lane:
        job = CallJob(job_spec(next(self._numbers), 0, False, options))
        job.on_news = Delivery(job, self._packer)
        lane = Lane(job, options)
        self._opened.append(lane)
        self._engine.growing.append(job)
        self._engine.open(job)
        if self._engine.closing:  # whoever closes may have sealed all that were there
            job.sealed = job.closed = True
            self._engine.tell(JobSealed(job.number))
        return lane

    def submit(
        self, lane: Lane, receiver: Any, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Queue one call. Raises what pickling raises; the call was then not queued."""
        if self._is_at_prompt:
            self._look()
        record = self._look_around()
        if record is not None or lane.wrapping is not None:
            number, fn = self._learn_wrapped(fn, lane, record)
        elif type(fn) in _BY_REFERENCE:
            number = self._known.get(fn) or self._learn(fn, fn)
        else:
            number = 0
        call = receiver, number, self._pack(args, kwargs) if number else self._pack(args, kwargs, fn)
        engine, driver = self._engine, self._driver
        lane.put(call)
        if lane.job.sealed:
            self._withdraw_if_late(lane, call)
        if engine.hungry:
            engine.pump(lane.job)
        driver.activity = activity = driver.activity + 1
        if activity >= self._look_at:
            self._look_at = activity + _LOOK_EVERY * engine.size
            driver.look()
        if engine.chores:
            driver.kick()

    def _learn_wrapped(self, fn: Any, lane: Lane, record: Record | None) -> tuple[int, Any]:
        key = (fn, lane.wrapping, record)
        # Of those with variables there may be one for each request of a server: workers need not keep them.
        keeps = type(fn) in _BY_REFERENCE and not (record is not None and record.variables)
        number = self._known.get(key) if keeps else 0
        if number:
            return number, fn
        around = wrapped(fn, lane.options, record, self._packer.pickled)
        return self._learn(key, around) if number is None else 0, around

    def _learn(self, key: Any, fn: Any) -> int:
        """A number for a function that travels by reference, 0 for one that does not."""
        if len(self._known) >= _KEEP_FUNCTIONS:
            return 0
        try:
            self._look()
            payload = self._packer.reference(fn)
        except Exception:
            return 0  # packed with the call, where a refusal is told properly
        number = next(self._numbers)
        self._engine.payloads[number] = payload
        self._known[key] = number
        return number

    def _look(self) -> None:
        """See whether workers still have what functions need by name."""
        if self._packer.look():
            self._known.clear()

    def _withdraw_if_late(self, lane: Lane, call: Any) -> None:
        """The pool was closed meanwhile: was the call still accepted? Raises `PoolClosed` if not."""
        if self._engine.is_mine():
            return
        with self._engine.lock:
            late = lane.job.closed and call in lane.job.inbox
            if late:
                lane.job.inbox.remove(call)
        if late:
            from phalanx._base.errors import PoolClosed

            raise PoolClosed("cannot schedule new futures after shutdown")

    def cancel(self, lane: Lane, future: Any, kill: bool = False) -> bool:
        """Whether the call has not run and never will. `kill`: stop it if it runs, which is known later."""
        engine, job = self._engine, lane.job
        with engine.lock:
            engine.enter()
            engine.admit(job)
            engine.handle(CancelAsked(job.number, future._index, kill))
            engine.leave()
        return engine.was_dropped(job, future._index)

    def seal(self) -> list[CallJob]:
        """No calls will come; returns the jobs of those that have."""
        jobs = [lane.job for lane in list(self._opened)]
        for job in jobs:
            job.sealed = True
        return jobs

    def forget(self) -> None:
        """Let go of users' functions."""
        self._known.clear()


class Lane:
    """Calls that share their options."""

    __slots__ = ("job", "options", "put", "wrapping")

    def __init__(self, job: CallJob, options: Options) -> None:
        self.job = job
        self.put = job.inbox.append
        # Not all: a future keeps its lane, and an initializer's arguments are nothing that it should keep.
        self.options = Options(retries=options.retries, retry_on=options.retry_on, seed=options.seed)
        self.wrapping = wrapping(options)


def job_spec(
    number: int,
    total: int,
    sealed: bool,
    options: Options,
    *,
    chunksize: int | None = None,
    window: int | None = None,
    task_size: int = 1,
) -> JobSpec:
    """What the policy is told of a job."""
    return JobSpec(
        number,
        total,
        sealed,
        chunksize,
        window,
        task_size,
        options.crash_retries,
        options.retries,
        options.backoff,
        options.timeout,
    )
