"""The real scheduler in virtual time: nothing is lost, nobody idles, and size costs nothing."""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest

from phalanx._policy import Config, Event, Progressed, Scheduler
from phalanx.testing import simulate


def skewed(count: int, seed: int, mean: float = 0.0005) -> list[float]:
    chance = random.Random(seed)
    return [mean / 3 * chance.paretovariate(1.5) for _ in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_every_item_has_exactly_one_outcome_however_workers_die(seed: int) -> None:
    run = simulate(
        workers=1 + seed,
        costs=skewed(300, seed),
        death_rate=0.03,
        seed=seed,
        startup=0.002,
        crash_retries=seed % 3,
        max_tasks_per_child=None if seed % 2 else 5,
        validate=True,
    )
    assert run.strays == ()
    assert sum(run.outcomes.values()) == 300
    assert run.deaths > 0
    assert run.outcomes.keys() <= {"arrived", "lost"}


def test_a_death_repeats_few_items() -> None:
    run = simulate(workers=4, costs=[0.001] * 4000, death_rate=0.01, seed=1, crash_retries=5)
    assert run.outcomes == {"arrived": 4000}
    # Each death repeats its own item and at most what was finished within one tick of the flusher.
    assert run.begun <= 4000 + 6 * run.deaths


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param([0.02 if i % 64 == 0 else 0.0002 for i in range(1280)], id="each 64th takes 20 ms"),
        pytest.param([0.0001] * 4000, id="0.1 ms each"),
        pytest.param([0.0001 + 0.00004 * (i % 2) for i in range(4000)], id="0.10 or 0.14 ms"),
        pytest.param([0.1] + [0.0002] * 500, id="a long one first"),
        pytest.param([0.0002] * 500 + [0.02, 0.02], id="long ones last"),
    ],
)
def test_two_workers_end_within_four_per_cent_of_ideal(costs: list[float]) -> None:
    run = simulate(workers=2, costs=costs, latency=60e-6, validate=True)
    assert run.overhead < 0.04
    assert run.strays == ()


def test_no_short_item_waits_behind_a_long_one_while_a_worker_idles() -> None:
    run = simulate(workers=2, costs=[10.0, *[0.001] * 50], latency=60e-6)
    assert run.makespan == pytest.approx(10.0, rel=0.001)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (
        simulate(workers=7, costs=skewed(500, 3), death_rate=0.02, seed=9, crash_retries=1) for _ in range(2)
    )
    assert (first.makespan, first.begun, first.batches) == (second.makespan, second.begun, second.batches)


class Counting(Scheduler):
    """Counts the calls (of Python and of C functions) that the policy makes: its cost without a clock."""

    __slots__ = ("calls",)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.calls = 0

    def handle(self, event: Event, now: float) -> list[Any]:
        if not isinstance(event, Progressed):
            return super().handle(event, now)

        def count(frame: FrameType, what: str, value: object) -> None:
            self.calls += what in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            return super().handle(event, now)
        finally:
            sys.setprofile(before)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("death_rate", [0.0, 0.01])
def test_a_batch_costs_the_same_with_ten_workers_and_with_thousands(death_rate: float) -> None:
    costs = []
    for workers in (10, 10_000):
        made: list[Counting] = []

        def make(config: Config, made: list[Counting] = made) -> Counting:
            made.append(Counting(config))
            return made[-1]

        run = simulate(
            workers=workers,
            costs=skewed(max(500, 5 * workers), 5, mean=0.002),
            death_rate=death_rate,
            crash_retries=1,
            scheduler=make,
        )
        assert run.strays == ()
        costs.append(made[0].calls / run.batches)
    small, large = costs
    assert large < 1.5 * small


def test_a_batch_costs_the_same_with_few_and_with_many_queued_items() -> None:
    runs = [simulate(workers=10, costs=[0.001] * items) for items in (1000, 100_000)]
    per_batch = [run.events / run.batches for run in runs]
    assert per_batch[1] < 1.2 * per_batch[0]
