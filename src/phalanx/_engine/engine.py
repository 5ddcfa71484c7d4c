"""The parent's engine: state under one lock, and the performing of what the policy decides.

Theory of operation. Whoever holds `lock` is the engine. A public call tells the policy what happened
(`tell`) and performs the commands it answers with, then and there: for an idle worker that is one
non-blocking write. What could run user code (packing a map's items, starting a process) becomes a chore
that the driver does without the lock. A thread that waits for an outcome takes the driver's seat and waits
for everything at once (`driver.py`); a background thread does so while work is outstanding and nobody else
does.

An exception can strike between any two bytecodes, also under the lock. `_dirty` is set while the state
changes and cleared at the end; whoever finds it set first rebuilds the policy from the facts that the jobs
and workers hold (`_reconcile`), each of which is changed in one step, before or after the policy is told.
Messages, news and chores stay where they are until they have been dealt with, and may be dealt with twice.

The collector, signal handlers and weak references can run user code anywhere, also in a thread that holds
the lock. What such code asks for goes to `_mailbox`, which the holder empties before it lets go.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from phalanx._base.seams import Launcher
from phalanx._engine.arrivals import LOCAL, Segment, subtract
from phalanx._engine.chores import Chore, Define
from phalanx._engine.jobs import CallJob, Job
from phalanx._engine.losses import StartError
from phalanx._engine.packing import Packer
from phalanx._engine.performing import Performer
from phalanx._engine.reminding import Reminder
from phalanx._engine.tally import Tally
from phalanx._engine.waiting import Waitable
from phalanx._engine.workers import Worker
from phalanx._platform.poller import Poller
from phalanx._policy import (
    Config,
    Event,
    JobFacts,
    JobGrew,
    JobOpened,
    Mode,
    Scheduler,
)


class Ending(Waitable):
    """Done when the engine has been told to end and no worker is left."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def is_done(self) -> bool:
        engine = self._engine
        return engine.closing and not engine.workers and not engine.chores and not engine.jobs


class AllStarted(Waitable):
    """Done while every worker that was asked for has a pid."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def is_done(self) -> bool:
        return all(worker.pid for worker in list(self._engine.workers.values()))


class Engine:
    """One pool's engine."""

    def __init__(
        self,
        config: Config,
        launcher: Launcher,
        packer: Packer,
        poller: Poller,
        environment_of: Callable[[int], dict[str, str]] = lambda slot: {},
        show: Callable[[int, Any], object] = lambda kind, content: None,
    ) -> None:
        """`environment_of(slot)`: what is set for the worker there; `show` shows what tasks print and log. Both run
        the user's code."""
        self.config = config
        self.show = show
        self.environment_of = environment_of
        self.launcher = launcher
        self.in_process = launcher.fileno() < 0
        if not self.in_process:
            poller.watch(launcher.fileno())
        self.packer = packer
        self.poller = poller
        self.jobs: dict[int, Job] = {}
        self.workers: dict[int, Worker] = {}
        self.by_descriptor: dict[int, Worker] = {}
        self.chores: deque[Chore] = deque()
        self.finished: deque[Waitable] = deque()
        self.news: deque[tuple[Job, Segment]] = deque()
        self.output: deque[tuple[int, Any]] = deque()
        """What tasks have printed and logged, and nobody has shown yet."""
        self.hungry = True
        self.unread = False
        self.closing = False
        self.mode: Mode | None = None
        self.size = config.size
        self.released = False
        self.ended = Ending(self)
        self.all_started = AllStarted(self)
        self.growing: list[Job] = []
        self.payloads: dict[int, Any] = {}
        self.tally = Tally()
        self.low_memory: int | None = None
        """Bytes that were left when memory became short, until somebody has warned of it."""
        self.no_block = 0
        """Bytes of a block that a worker could not make for a result."""
        self.start_error: StartError | None = None
        self.lock = threading.RLock()
        self.is_reminded = False
        """Workers that are idle are to be told what is returned to them."""
        self._dirty = False
        self._mailbox: deque[Event] = deque()
        self._garbage: deque[Any] = deque()
        self._policy = Scheduler(config)
        # Numbers below these have been used.
        self.next_worker = self.next_batch = 0
        self._free_pages: deque[int] = deque()
        self._next_page = 0
        self.doomed: set[int] = set()
        """Workers to be killed as soon as they are there: nobody can kill what is about to be started."""
        self.performer = Performer(self)
        self._perform = self.performer.table
        self._reminder = None if packer.lending is None else Reminder(self)

    # -- the critical section -------------------------------------------------------------------------

    def tell(self, *events: Event) -> bool:
        """Tell the policy, and do what it says. False when that was left to whoever holds the lock."""
        if self.is_mine():
            self._mailbox.extend(events)
            return False
        with self.lock:
            self.enter()
            for event in events:
                self.handle(event)
            self.leave()
        return True

    def open(self, job: Job) -> None:
        """Take up a job. Known and told of in one go: another thread might finish it in between."""
        if self.is_mine():
            self.jobs[job.number] = job
            self._mailbox.append(JobOpened(job.fact_spec()))
            return
        with self.lock:
            self.enter()
            self.jobs[job.number] = job
            self.handle(JobOpened(job.fact_spec()))
            self.leave()

    def is_mine(self) -> bool:
        """Whether this thread holds the lock already: user code run by the collector or a signal handler."""
        mine: bool = self.lock._is_owned()  # type: ignore[attr-defined]
        return mine

    def enter(self) -> None:
        """First thing under the lock. `with` on our own context manager could be struck between its steps."""
        if self._dirty:
            self._reconcile()
        self._dirty = True

    def leave(self) -> None:
        """Last thing under the lock."""
        mailbox = self._mailbox
        while mailbox:
            event = mailbox[0]
            # A job that reconciliation found first may have come and gone by now.
            if type(event) is not JobOpened or event.spec.job in self.jobs:
                self.handle(event)
            mailbox.popleft()
        if self.is_reminded:
            self.is_reminded = False
            self.performer.send_notes()
        policy = self._policy
        self.hungry = policy.hungry or policy.counted < policy.size
        self._dirty = False

    def is_unsettled(self) -> bool:
        """Whether `settle` has something to do."""
        if self._dirty or self._mailbox or self._garbage or self.is_reminded:
            return True
        for job in self.growing:  # noqa: SIM110 - no generator, because this is asked for each message
            if job.has_grown():
                return True
        return False

    def settle(self) -> None:
        """Make the state sound, admit items that were left waiting, free what is not needed any more."""
        with self.lock:
            self.enter()
            self.admit_growth()
            self.leave()
        self._garbage.clear()

    def discard(self, thing: Any) -> None:
        """Let go of something that may hold users' objects, once the lock is free."""
        self._garbage.append(thing)

    def doubt(self) -> None:
        """A step may have been done by half: have the state rebuilt from the facts."""
        with self.lock:
            self._dirty = True

    def pump(self, job: CallJob) -> None:
        """Hand what is in the inbox to workers that can take it."""
        if not self.is_mine():
            with self.lock:
                self.enter()
                self.admit(job)
                self.leave()

    def admit_growth(self) -> None:
        """Under the lock: tell the policy of items that are new."""
        for job in self.growing:
            if job.has_grown():
                self.admit(job)

    def admit(self, job: Job) -> None:
        """Under the lock: tell the policy of this job's new items."""
        total = job.admit()
        self.handle(JobGrew(job.number, total))
        job.told = total

    def is_outstanding(self) -> bool:
        """Whether anything is left to do that a driver would do."""
        if self.chores or self.finished or self.news or self.output or self._mailbox or self._dirty:
            return True
        if self.is_reminded or (self.closing and self.workers):
            return True
        return any(job.is_outstanding() for job in list(self.jobs.values()))

    def handle(self, event: Event) -> None:
        """Under the lock: let the policy decide, perform what it answers."""
        perform = self._perform
        for command in self._policy.handle(event, monotonic()):
            perform[type(command)](command)

    def next_deadline(self) -> float | None:
        """When the policy wants to be asked again, on the monotonic clock."""
        return self._policy.next_deadline()

    def _reconcile(self) -> None:
        """Something struck while the state changed: build the policy anew from what is known."""
        self.chores.clear()
        self.chores.extend([Define(worker) for worker in self.workers.values() if worker.wants is not None])
        # A message that was being dealt with is still in its channel, and no descriptor tells of it any more.
        self.unread = True
        for number, worker in list(self.workers.items()):
            if not worker.requested:
                self.dismiss(number, worker)
            for out in list(worker.channel.outbox):
                if out.batch is not None:
                    worker.hold(out.batch)
        facts = [worker.facts() for worker in self.workers.values()]
        ranges: dict[int, list[tuple[int, int]]] = {}
        for each in facts:
            for batch, done in each.held:
                apart = [batch.start + place for place in each.apart.get(batch.id, ())]
                left = subtract(iter([(batch.start + done, batch.stop)]), [(at, at + 1) for at in apart])
                ranges.setdefault(batch.job, []).extend(left)
        jobs = []
        for job in self.jobs.values():
            # No message comes again for what was settled here; being told twice does no harm.
            self.news.extend([(job, part) for part in job.arrivals.local()])
            # One total for all: the job may grow meanwhile, by items that the policy is then told of.
            spec = job.fact_spec()
            job.told = spec.total
            missing = subtract(job.arrivals.missing(spec.total), ranges.get(job.number, []))
            tries, crashes = self._policy.attempts(job.number)
            jobs.append(JobFacts(spec, job.consumed, missing, job.cancelled, job.kill, tries, crashes))
        self._dirty = True
        self._policy, commands = Scheduler.rebuild(
            replace(self.config, size=self.size),
            jobs,
            facts,
            monotonic(),
            mode=self.mode,
            next_batch=self.next_batch,
            next_worker=self.next_worker,
        )
        for worker in self.workers.values():
            self.performer.flush_again(worker)
        for command in commands:
            self._perform[type(command)](command)

    # -- workers ----------------------------------------------------------------------------------------

    def employ(self, worker: Worker) -> None:
        """Under the lock: from now on this worker's channel is listened to."""
        self.workers[worker.identity.worker] = worker
        descriptor = worker.channel.fileno()
        if descriptor >= 0:
            self.by_descriptor[descriptor] = worker
            self.poller.watch(descriptor)

    def was_dropped(self, job: Job, index: int) -> bool:
        """Whether the item was cancelled before it started."""
        return any(
            each is job and segment.form == LOCAL and segment.start <= index < segment.stop
            for each, segment in list(self.news)
        )

    def is_begun(self, job: int, index: int) -> bool:
        """Whether a worker has begun this item."""
        for worker in list(self.workers.values()):
            current = worker.current()
            for held in list(worker.held.values()):
                batch, place = held.batch, index - held.batch.start
                is_there = batch.job == job and batch.start <= index < batch.stop and place not in held.apart
                # It may stand in two batches: taken back from one that has not ended, it is in another.
                if is_there and current is not None and batch.seq + place <= current:
                    return True
        return False

    def page_number(self) -> int:
        """A page that no living worker uses."""
        if self._free_pages:
            return self._free_pages.popleft()
        self._next_page += 1
        return self._next_page - 1

    def dismiss(self, number: int, worker: Worker) -> None:
        """Forget a worker that is gone, and only then let another have its page."""
        descriptor = worker.channel.fileno()
        if descriptor >= 0:
            self.by_descriptor.pop(descriptor, None)
            self.poller.forget(descriptor)
        worker.channel.close()
        if self.packer.lending is not None:
            self.packer.lending.part_from(worker)
        if self.workers.pop(number, None) is not None:
            self._free_pages.append(worker.identity.page)
        self.discard(worker)
        if self.ended.is_done:
            self.launcher.retire()
            self.finished.append(self.ended)
