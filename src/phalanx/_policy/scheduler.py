"""The scheduler: one event in, the commands that follow out.

Theory of operation
===================

`handle(event, now)` notes what happened and returns what to do. It reads no clock, calls nothing outside this
package and raises only for bugs of ours (`PolicyError`). The caller performs the commands in their order; two
of them are questions (`TakeBack`, `Look`), always last, that it answers at once by another event. Between two
calls the books are sound: `validate()` says so.

The parts, each in its module:

- `jobs`: what is left of each call, as ranges. `sizing`: how much of it to send at once.
- `workers`: the table of worker states and what each holds. `books`: all of it, with the sets that answer
  "who could take work", "whose turn is it", "from whom could work be taken back" without a search.
- `assigning`: work meets workers. `stealing`: unless it is in the wrong place. `cancelling`: unless it is
  unwanted.
- `arriving`: results come in. `turnover`: workers do; `blame`: who was guilty of a death; `slots`,
  `staffing`: who replaces the dead, and when to stop trying.
- `deadlines`, `timing`: what happens when nothing happens. `watching`: items that take too long or too much.
- `rebuilding`: the way back to sound books when an exception struck the engine between event and commands.
  `checking`: what sound means.

What one event may cost: a few dictionary operations per batch, O(log n) for heaps, and nothing that grows
with the number of workers or queued items. The rare events (cancel, resize, close, a failed start) may look
at everything.

Repetition: every event may be told twice. Counts are cumulative, ended batches and dead workers are unknown,
and an answer counts only while its question is open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phalanx._policy import arriving, cancelling, staffing, timing, turnover, watching
from phalanx._policy.assigning import assign, go_on
from phalanx._policy.books import Books
from phalanx._policy.checking import check
from phalanx._policy.commands import Allow, Command
from phalanx._policy.events import (
    CancelAsked,
    CloseAsked,
    Event,
    ItemFailed,
    JobCancelled,
    JobConsumed,
    JobGrew,
    JobOpened,
    JobSealed,
    Progressed,
    Resized,
    Tick,
    TookBack,
    Undecodable,
    WorkerExited,
    WorkerReady,
    WorkerSeen,
    WorkerStartFailed,
)
from phalanx._policy.jobs import Job, JobMove
from phalanx._policy.rebuilding import facts_of, fill
from phalanx._policy.records import Config, Facts, JobFacts, JobState, Mode, WorkerFacts
from phalanx._policy.staffing import staff_up

__all__ = ["Scheduler"]


class Scheduler(Books):
    """Every decision of one pool. Read `hungry`; everything else is asked through the methods."""

    __slots__ = ()

    def handle(self, event: Event, now: float) -> list[Command]:
        """Note the event and return what to do, in this order."""
        out: list[Command] = []
        HANDLERS[type(event)](self, event, now, out)
        if self.questions:
            out += self.questions
            self.questions = []
        return out

    def next_deadline(self) -> float | None:
        """When to send `Tick` if nothing happens before; None: never."""
        first = self.alarms.first()
        if self.starts.halted:
            first = staffing.next_attempt(self, first)
        steal_at = self.steal_at
        if steal_at is None or not (self.idle and self.victims):
            return first
        return steal_at if first is None or steal_at < first else first

    def validate(self) -> None:
        """Raise `PolicyError` unless every invariant holds. Looks at everything: for tests."""
        check(self)

    def attempts(self, job: int) -> tuple[dict[int, int], dict[int, int]]:
        """By item: how often it has been tried again after an error, and after a crash."""
        known = self.jobs.get(job)
        return ({}, {}) if known is None else (dict(known.tries), dict(known.crashes))

    def facts(self) -> Facts:
        """What is known, in the form that `rebuild` takes."""
        return facts_of(self)

    @classmethod
    def rebuild(
        cls,
        config: Config,
        jobs: list[JobFacts],
        workers: list[WorkerFacts],
        now: float,
        *,
        mode: Mode | None = None,
        next_batch: int = 0,
        next_worker: int = 0,
    ) -> tuple[Scheduler, list[Command]]:
        """Make a sound scheduler from facts, and return it with what it wants done now.

        `next_batch` and `next_worker`: numbers below were used before and must not come again.
        """
        scheduler = cls(config)
        scheduler.mode = mode
        scheduler.next_batch = next_batch
        scheduler.next_worker = next_worker
        commands = fill(scheduler, jobs, workers, now) + scheduler.questions
        scheduler.questions = []
        return scheduler, commands


def opened(books: Books, event: JobOpened, now: float, out: list[Command]) -> None:
    """A new job."""
    spec = event.spec
    if spec.job in books.jobs:
        return
    job = Job(spec, books.size, books.config.target)
    books.jobs[job.id] = job
    if books.mode is Mode.TERMINATE:
        cancelling.terminate_job(books, job, out)
        return
    if job.window is not None:
        out.append(Allow(job.id, job.window))
    books.list_job(job)
    books.finish_if_done(job, out)
    staffing.work_came(books, now)
    go_on(books, now, out)


def grew(books: Books, event: JobGrew, now: float, out: list[Command]) -> None:
    """More items. The hot path of single calls: nothing but a note unless someone could take them."""
    job = books.jobs.get(event.job)
    if job is None or event.total <= job.total or job.state is not JobState.OPEN:
        return
    job.total = event.total
    job.widen()
    if not job.listed:
        books.list_job(job)
    if books.hungry:
        assign(books, now, out)
    if books.counted < books.size:
        staffing.work_came(books, now)
        staff_up(books, now, out)


def sealed(books: Books, event: JobSealed, now: float, out: list[Command]) -> None:
    """The total is final."""
    job = books.jobs.get(event.job)
    if job is not None and job.state is JobState.OPEN:
        job.move(JobMove.SEAL)
        books.list_job(job)
        books.finish_if_done(job, out)
        go_on(books, now, out)


def consumed(books: Books, event: JobConsumed, now: float, out: list[Command]) -> None:
    """The window moves."""
    job = books.jobs.get(event.job)
    if job is None:
        return
    wider = event.window is not None and job.window is not None and event.window > job.window
    if event.consumed <= job.consumed and not wider:
        return
    job.consumed = max(job.consumed, event.consumed)
    if wider:
        job.set_window(event.window, books.size)
    if job.window is None or job.state is JobState.CANCELLED:
        return
    job.widen()
    out.append(Allow(job.id, job.consumed + job.window))
    books.list_job(job)
    if books.hungry or books.counted < books.size:
        go_on(books, now, out)


def then_go_on(handler: Callable[[Books, Any, float, list[Command]], None]) -> Callable[..., None]:
    """The handler, and then everything that the facts now allow."""

    def handle(books: Books, event: Any, now: float, out: list[Command]) -> None:
        handler(books, event, now, out)
        go_on(books, now, out)

    return handle


HANDLERS: dict[type, Callable[[Any, Any, float, list[Command]], None]] = {
    JobOpened: opened,
    JobGrew: grew,
    JobSealed: sealed,
    JobConsumed: consumed,
    JobCancelled: then_go_on(cancelling.job_cancelled),
    WorkerReady: turnover.ready,
    WorkerStartFailed: turnover.start_failed,
    WorkerExited: turnover.exited,
    Progressed: arriving.progressed,
    Undecodable: arriving.undecodable,
    ItemFailed: then_go_on(timing.item_failed),
    TookBack: then_go_on(cancelling.took_back),
    CancelAsked: then_go_on(cancelling.cancel_asked),
    WorkerSeen: then_go_on(watching.worker_seen),
    Resized: turnover.resized,
    CloseAsked: then_go_on(cancelling.close_asked),
    Tick: then_go_on(timing.tick),
}
