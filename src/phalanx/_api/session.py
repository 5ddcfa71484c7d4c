"""What a pool, an executor and a one-shot call have in common: an engine with its driver, opened and ended.

`Session` is internal; users hold `Pool`, `Executor` and the iterators of `stream`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from phalanx._api import exiting
from phalanx._api.calling import Calling, job_spec
from phalanx._api.inherited import ForkGuard
from phalanx._api.launching import Inherited, environment_for, make_launcher
from phalanx._api.surroundings import looking_around
from phalanx._api.wrapping import wrapped_payload
from phalanx._base.identity import WorkerSetup
from phalanx._base.options import Options
from phalanx._engine.callbacks import Callbacks
from phalanx._engine.definitions import Definitions
from phalanx._engine.direct import DirectPacker
from phalanx._engine.driver import Driver
from phalanx._engine.engine import Engine
from phalanx._engine.jobs import InheritedSource, Job, SequenceSource, Source
from phalanx._engine.packing import AttachTrace, Packer, PicklePacker
from phalanx._engine.waiting import Waitable
from phalanx._launch.mains import check_not_in_main
from phalanx._observe.output import show
from phalanx._platform.forked import close_in_children
from phalanx._platform.memory import memory_floor
from phalanx._platform.poller import Poller
from phalanx._policy import (
    CloseAsked,
    Config,
    Event,
    JobCancelled,
    JobConsumed,
    JobGrew,
    JobSealed,
    Mode,
    Resized,
    Tick,
)

# How long a finalizer waits for idle workers to leave; those that take longer end when they notice.
_ABANDON_SECONDS = 2.0
ALL_ITEMS = 1 << 62


class Session:
    """One engine and what is common to its users."""

    def __init__(
        self,
        options: Options,
        size: int,
        attach: AttachTrace,
        *,
        on_demand: bool = False,
        keeps_interpreter: bool = False,
        inherited: Inherited | None = None,
    ) -> None:
        """`inherited`: function and items of the one call that this is for."""
        if options.backend == "processes":
            check_not_in_main()
        self.options = options
        self.foreign = False
        """This is a forked child, and the session belongs to its parent: it must touch nothing."""
        self.is_open = True
        self._numbers = count(1)
        poller = Poller()
        in_process = options.backend != "processes"
        # First: what is defined from here on, workers may not have.
        packer: Packer = DirectPacker(attach) if in_process else PicklePacker(attach, Definitions())
        self._look_around = looking_around(options)
        try:
            launcher = make_launcher(options, poller, size, inherited)
        except BaseException:
            poller.close()
            raise
        config = Config(
            size=size,
            on_demand=on_demand,
            max_tasks_per_child=options.max_tasks_per_child,
            max_memory=options.max_memory,
            memory_limit=options.hard_limit,
            memory_floor=memory_floor() if options.hard_limit else 0,
        )
        self.engine = Engine(config, launcher, packer, poller, environment_for(options), show)
        self.driver = Driver(self.engine, keeps_interpreter)
        self.callbacks = Callbacks(daemon=not keeps_interpreter)
        self.packer = packer
        self._releasing = threading.RLock()
        self.driver.background.on_end = self.release
        self._guard = ForkGuard(self)
        close_in_children(self._guard)
        self.calling = Calling(self.engine, self.driver, packer, self._numbers, self._look_around)
        self.lane = self.calling.lane(options)
        """Where calls go that have the session's own options."""
        self.submit = self.calling.submit
        try:
            # Last of all: each page of memory that is written after a fork has to be copied first.
            launcher.begin()
        except BaseException:
            launcher.close()
            launcher.setup.pages.close()
            poller.close()
            raise

    @property
    def can_kill(self) -> bool:
        """Whether an item that runs can be stopped."""
        return self.options.backend == "processes"

    def start(self) -> None:
        """Start the workers that are wanted at once."""
        try:
            self.engine.tell(Tick())
            self.driver.kick()
        except BaseException:
            self.close(Mode.TERMINATE)
            self.join(_ABANDON_SECONDS)
            raise

    # -- calls --------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Nobody may come to wait: the background thread shall see to it."""
        self.driver.background.arm()

    def wait_for(self, thing: Waitable, timeout: float | None = None) -> bool:
        """Until done, at most `timeout` seconds; drives meanwhile."""
        if self.foreign:
            self.check_process()
        return self.driver.wait_for(thing, timeout)

    def cancel(self, future: Any, kill: bool = False) -> bool:
        """Whether the call has not run and never will. `kill`: stop it if it runs, which is known later."""
        if self.foreign or self.engine.is_mine():
            return False
        gone = self.calling.cancel(future._lane or self.lane, future, kill)
        self.arm()
        return gone

    def is_running(self, future: Any) -> bool:
        """Whether a worker has begun the call."""
        job = (future._lane or self.lane).job
        return future._index >= 0 and self.engine.is_begun(job.number, future._index)

    def call_in_background(self, callback: Callable[[], Any]) -> None:
        """Run this on the thread for callbacks."""
        self.callbacks.call(callback)

    # -- maps ---------------------------------------------------------------------------------------------

    def open_job(
        self,
        fn: Callable[..., Any],
        source: Source,
        style: int,
        *,
        total: int,
        sealed: bool,
        chunksize: int | None = None,
        window: int | None = None,
        task_size: int = 1,
        prepare: Callable[[Job], None] = lambda job: None,
        options: Options | None = None,
    ) -> Job:
        """A job over the items of `source`; `prepare(job)` is called before anything of it can happen."""
        function = next(self._numbers)
        options = options or self.options
        if not source.is_inherited:
            self.packer.look()
            self.engine.payloads[function] = wrapped_payload(self.packer, fn, options, self._look_around())
        spec = job_spec(
            next(self._numbers),
            total,
            sealed,
            options,
            chunksize=chunksize,
            window=window,
            task_size=task_size,
        )
        job = Job(spec, source, style, function, packs_quietly=self.packer.keeps_objects or source.is_plain)
        prepare(job)
        if not sealed:
            self.engine.growing.append(job)
        try:
            self.engine.open(job)
            self.driver.activity += 1
            self.driver.kick()
        except BaseException:
            # Nobody will wait for it, and nobody knows how far it got.
            job.kill = job.cancelled = True
            self.engine.doubt()
            raise
        return job

    def source(self, items: Sequence[Any]) -> Source:
        """Where a job takes its items from; `items` is not copied."""
        inherits = self.engine.launcher.setup.inherited is not None
        return InheritedSource(items) if inherits else SequenceSource(items)

    def grow(self, job: Job, total: int) -> None:
        """Items below `total` are there."""
        if job.sealed:
            return
        job.total = total
        if self.engine.hungry:
            self.engine.tell(JobGrew(job.number, total))
            self.driver.kick()
            self.arm()

    def seal(self, job: Job, total: int) -> None:
        """No items but those below `total` will come."""
        if job.sealed:
            return
        job.total = total
        job.sealed = True
        self.engine.tell(JobGrew(job.number, total), JobSealed(job.number))
        self.driver.kick()

    def consume(self, job: Job, consumed: int, window: int | None = None) -> None:
        """So many results have been taken; perhaps a wider window is wanted."""
        job.consumed = max(job.consumed, consumed)
        job.window = window or job.window
        self.engine.tell(JobConsumed(job.number, job.consumed, job.window))
        self.driver.kick()

    def cancel_job(self, job: Job, kill: bool) -> None:
        """Nothing more of this job is wanted; `kill`: not even what runs."""
        job.kill = kill
        job.cancelled = True
        self.engine.tell(JobCancelled(job.number, kill))
        self.arm()

    # -- the end --------------------------------------------------------------------------------------------

    def check_process(self) -> None:
        """Raise in a process that was forked from the one the pool belongs to."""
        if self.foreign:
            from phalanx._base.errors import PoolClosed

            raise PoolClosed(
                f"this pool belongs to the process it was made in; process {os.getpid()}, forked from that "
                "one, cannot use it: make a pool of its own"
            )

    def resize(self, size: int) -> None:
        """The pool shall have so many workers."""
        self.engine.size = size
        self.engine.tell(Resized(size))
        self.driver.kick()

    def close(self, mode: Mode) -> None:
        """Take no more work; end as `mode` says. Returns at once."""
        if self.foreign:
            return
        self.is_open = False
        engine = self.engine
        if engine.mode is not Mode.TERMINATE:
            engine.mode = mode
        engine.closing = True
        calls = self.calling.seal()
        events: list[Event] = []
        for job in calls:
            events += [JobGrew(job.number, job.total), JobSealed(job.number)]
        events.append(CloseAsked(mode))
        if engine.is_mine():
            engine.tell(*events)
            return
        # Or the background thread might give everything back before this has returned.
        with self._releasing:
            with engine.lock:
                engine.enter()
                for each in calls:
                    engine.admit(each)
                    each.closed = True
                for open_job in list(engine.jobs.values()) if mode is Mode.DRAIN else ():
                    self._close_job(open_job)
                for event in events:
                    engine.handle(event)
                engine.leave()
            if not engine.released:
                self.driver.kick()
        if any(each.is_outstanding() for each in list(engine.jobs.values())):
            self.arm()

    def _close_job(self, job: Job) -> None:
        """Under the lock: nobody can be relied on any more to make room in a window or to read an input."""
        if job.on_closing is not None:
            job.on_closing()
            job.sealed = True
            self.engine.handle(JobSealed(job.number))
        if job.consumed < ALL_ITEMS:
            job.consumed = ALL_ITEMS
            self.engine.handle(JobConsumed(job.number, ALL_ITEMS))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every worker has ended, and give everything back. False if it took longer."""
        if self.foreign:
            return True
        if not self.driver.wait_for(self.engine.ended, timeout):
            return False
        if self.driver.is_mine():
            # Called from inside a step of the driver, which goes on with what would be given back.
            self.arm()
            return True
        self.driver.background.retire()
        self.callbacks.finish()
        self.release()
        return True

    def release(self) -> None:
        """Give back what an ended engine holds. By whoever comes first: `join`, or the background thread."""
        engine = self.engine
        with self._releasing:
            if engine.released or not engine.ended.is_done:
                return
            engine.released = True
            engine.launcher.close()
            engine.poller.close()
            engine.launcher.setup.pages.close()
            # Ended engines are cycles that live until a collection; users' objects shall not.
            engine.launcher.setup = WorkerSetup(None)
            engine.payloads.clear()
            if self.packer.lending is not None:
                self.packer.lending.close()
            self.calling.forget()
            self.options = replace(self.options, initializer=None, initargs=())

    def abandon(self, mode: Mode = Mode.DRAIN) -> None:
        """From a finalizer: finish what was accepted (or drop it, as `mode` says), then end.

        With work outstanding the background thread does it; else workers are told to leave, which is soon.
        """
        if self.foreign or exiting.has_begun():
            return
        idle = not self.engine.is_mine() and not self.engine.is_outstanding()
        self.close(mode)
        if idle and not self.engine.in_process:
            self.join(_ABANDON_SECONDS)
        else:
            # A collection may have called this in a worker thread, which cannot wait for its own end.
            self.arm()
