"""Random histories: the scheduler against the reference model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from phalanx._policy import (
    Config,
    JobSpec,
    Mode,
    PolicyError,
    Scheduler,
    WorkerState,
    arriving,
    cancelling,
    turnover,
)
from phalanx._policy.jobs import Job
from phalanx._policy.workers import Held, Worker
from tests.policy.reference import ENDS, ModelWorker, Reference

specs = st.builds(
    JobSpec,
    job=st.just(0),
    total=st.integers(0, 12),
    sealed=st.booleans(),
    chunksize=st.none() | st.integers(1, 4),
    window=st.none() | st.integers(1, 8),
    crash_retries=st.integers(0, 2),
    retries=st.integers(0, 2),
    backoff=st.sampled_from([0.0, 0.01]),
    timeout=st.none() | st.just(0.5),
)
configs = st.builds(
    Config,
    size=st.integers(1, 4),
    on_demand=st.booleans(),
    prefetch=st.integers(1, 3),
    max_tasks_per_child=st.none() | st.integers(1, 5),
    max_memory=st.none() | st.just(100),
    memory_limit=st.none() | st.just(200),
    memory_floor=st.just(50),
)


class History(RuleBasedStateMachine):
    """Everything that can happen to a pool, in any order."""

    scheduler: type[Scheduler] = Scheduler

    def __init__(self) -> None:
        super().__init__()
        self.world = Reference(Config(size=1), self.scheduler)
        self.started = False

    def pick(self, data: Any, *states: WorkerState) -> ModelWorker | None:
        workers = [worker for worker in self.world.workers.values() if worker.state in states]
        return data.draw(st.sampled_from(workers)) if workers else None

    @precondition(lambda self: not self.started)
    @rule(config=configs)
    def begin(self, config: Config) -> None:
        self.started = True
        self.world = Reference(config, self.scheduler)
        self.world.do_pass_time(0.0)
        self.world.do_resize(config.size)

    @precondition(lambda self: len(self.world.jobs) < 4)
    @rule(spec=specs)
    def open_job(self, spec: JobSpec) -> None:
        spec.job = len(self.world.jobs)
        if spec.window is not None and not spec.sealed:
            spec.total = min(spec.total, spec.window)
        if self.world.mode is None:
            self.world.do_open(spec)

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data(), by=st.integers(1, 6))
    def grow(self, data: Any, by: int) -> None:
        self.world.do_grow(data.draw(st.sampled_from(list(self.world.jobs))), by)

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def seal(self, data: Any) -> None:
        self.world.do_seal(data.draw(st.sampled_from(list(self.world.jobs))))

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def consume(self, data: Any) -> None:
        self.world.do_consume(data.draw(st.sampled_from(list(self.world.jobs))))

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data(), kill=st.booleans())
    def cancel_job(self, data: Any, kill: bool) -> None:
        self.world.do_cancel_job(data.draw(st.sampled_from(list(self.world.jobs))), kill)

    @precondition(lambda self: any(state not in ENDS for state in self.world.items.values()))
    @rule(data=st.data(), kill=st.booleans())
    def cancel_item(self, data: Any, kill: bool) -> None:
        open_items = [item for item, state in self.world.items.items() if state not in ENDS]
        self.world.do_cancel_item(data.draw(st.sampled_from(open_items)), kill)

    @rule(data=st.data(), rss=st.sampled_from([50, 150, 250]), free=st.sampled_from([20, 500]))
    def weigh(self, data: Any, rss: int, free: int) -> None:
        worker = self.pick(data, WorkerState.READY)
        if worker is not None:
            self.world.do_begin(worker)
            self.world.do_weigh(worker, rss, free)

    @rule(data=st.data())
    def become_ready(self, data: Any) -> None:
        worker = self.pick(data, WorkerState.STARTING, WorkerState.STOPPING)
        if worker is not None:
            self.world.do_ready(worker)

    @rule(data=st.data())
    def fail_to_start(self, data: Any) -> None:
        worker = self.pick(data, WorkerState.STARTING)
        if worker is not None:
            self.world.do_fail_start(worker)

    @rule(data=st.data(), steps=st.integers(1, 5), report=st.booleans())
    def work(self, data: Any, steps: int, report: bool) -> None:
        worker = self.pick(data, WorkerState.READY, WorkerState.DYING)
        if worker is not None:
            for _ in range(steps):
                self.world.do_begin(worker)
                self.world.do_finish(worker)
            if report:
                self.world.do_report(worker)

    @rule(data=st.data())
    def begin_item(self, data: Any) -> None:
        worker = self.pick(data, WorkerState.READY)
        if worker is not None:
            self.world.do_begin(worker)

    @rule(data=st.data(), retryable=st.booleans())
    def fail_item(self, data: Any, retryable: bool) -> None:
        worker = self.pick(data, WorkerState.READY)
        if worker is not None:
            self.world.do_begin(worker)
            self.world.do_fail_item(worker, retryable)

    @rule(data=st.data())
    def garble(self, data: Any) -> None:
        worker = self.pick(data, WorkerState.READY)
        if worker is not None:
            self.world.do_report(worker)
            self.world.do_garble(worker)

    @rule(data=st.data())
    def die(self, data: Any) -> None:
        worker = self.pick(data, *WorkerState)
        if worker is not None:
            self.world.do_die(worker)

    @rule(seconds=st.sampled_from([0.001, 0.025, 0.1, 0.6]))
    def pass_time(self, seconds: float) -> None:
        self.world.do_pass_time(seconds)

    @rule(size=st.integers(1, 4))
    def resize(self, size: int) -> None:
        self.world.do_resize(size)

    @rule(mode=st.sampled_from(Mode))
    def close(self, mode: Mode) -> None:
        self.world.do_close(mode)

    @precondition(lambda self: self.world.told)
    @rule(back=st.integers(0, 5))
    def repeat(self, back: int) -> None:
        self.world.do_repeat(back)

    @rule()
    def rebuild(self) -> None:
        self.world.do_rebuild()

    @rule(commands=st.integers(0, 2))
    def strike(self, commands: int) -> None:
        """The next event's commands are not all performed."""
        self.world.strike_after = commands

    @invariant()
    def is_sound(self) -> None:
        self.world.scheduler.validate()

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:  # else this history has failed already
            self.world.run_out()


# Rules that end things, or begin anew: without them a wrong thought comes to light in a tenth of the histories.
DISTRACTIONS = [
    "strike",
    "rebuild",
    "repeat",
    "close",
    "cancel_job",
    "cancel_item",
    "weigh",
    "fail_to_start",
    "garble",
    "consume",
    "seal",
]


def check(scheduler: type[Scheduler], examples: int, without: Sequence[str] = ()) -> None:
    machine = type("History", (History,), {"scheduler": scheduler, **dict.fromkeys(without)})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=scheduler is not Scheduler,
            phases=[Phase.generate, Phase.shrink] if scheduler is Scheduler else [Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_histories_agree_with_the_reference_model() -> None:
    check(Scheduler, 800)


# A model that nothing fails proves nothing. Each of these is a scheduler with one wrong thought, consistent in
# itself: its books stay sound. The model has to notice.


def blames_the_next(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda worker, current: real(worker, None if current is None else current + 1)


def blames_nobody(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda worker, current: (None, None)


def blames_the_first_left(real: Callable[..., Any]) -> Callable[..., Any]:
    def judge(worker: Worker, current: int | None) -> tuple[tuple[Held, int] | None, Held | None]:
        held = worker.first_left()
        return (None, None) if held is None or held.void else ((held, held.done), None)

    return judge


def forgets_who_is_suspect(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda worker, current: (real(worker, current)[0], None)


def keeps_one_too_many(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda books, held, seq, out: real(books, held, seq + 1, out)


def takes_what_runs(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda books, held, seq, out: real(books, held, held.batch.seq, out)


def counts_one_too_many(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda worker, held, done, seconds: real(worker, held, done + 1, seconds)


def sends_beyond_the_window(real: Callable[..., Any]) -> Callable[..., Any]:
    def widen(job: Job) -> None:
        real(job)
        job.limit = min(job.total, job.limit + 1)

    return widen


MUTANTS: list[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = [
    (turnover, "judge", blames_the_next),
    (turnover, "judge", blames_nobody),
    (turnover, "judge", blames_the_first_left),
    (turnover, "judge", forgets_who_is_suspect),
    (cancelling, "shorten", keeps_one_too_many),
    (cancelling, "shorten", takes_what_runs),
    (arriving, "arrive", counts_one_too_many),
    (Job, "widen", sends_beyond_the_window),
]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("place", "name", "mutate"), MUTANTS, ids=[row[2].__name__ for row in MUTANTS])
def test_a_scheduler_with_one_wrong_thought_is_caught(
    place: Any, name: str, mutate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mutant(Scheduler):
        """Only the name differs; the wrong thought is in the module."""

    monkeypatch.setattr(place, name, mutate(getattr(place, name)))
    # A thought can also be so wrong that it never ends.
    with pytest.raises((AssertionError, PolicyError, RecursionError)):
        check(Mutant, 5000, DISTRACTIONS)
