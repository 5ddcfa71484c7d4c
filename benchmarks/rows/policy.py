"""The policy alone, in virtual time: what a batch costs with ten workers and with ten thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.measure import Bar, Contender, Params, Row, judge_times

FEW, MANY = 10, 10_000
ITEMS_PER_WORKER = 20


def _simulating(workers: int) -> Contender:
    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        from phalanx.testing import simulate

        costs = [0.001 if i % 64 else 0.1 for i in range(MANY * ITEMS_PER_WORKER)]

        def play() -> float:
            record = simulate(workers=workers, costs=costs, seed=1)
            seconds: float = record.policy_seconds_per_batch
            return seconds

        yield play

    return contender


ROWS = (
    Row(
        name="virtual",
        work="virtual time, 10 → 10,000 workers: policy cost per batch",
        contenders={"phalanx": _simulating(MANY), "10 workers": _simulating(FEW)},
        judge=judge_times,
        bars=(Bar("10 workers", 2.0, label="with 10 workers"),),
        rounds=5,
        quick_rounds=2,
    ),
)
