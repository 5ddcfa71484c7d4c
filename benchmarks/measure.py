"""Rounds, medians, bars: what a row of the table is and what is left of it when it has been measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

Params = Mapping[str, Any]
Reading = float | dict[str, float]
Round = Callable[[], Reading]
"""Does the work once and says what it took: seconds, or several named readings."""
Contender = Callable[[Params], AbstractContextManager[Round]]
"""Sets the stage (starts the pool), hands out the round, and clears up."""

OURS = "phalanx"


@dataclass(frozen=True)
class Bar:
    """`contender` may take at most `at_most` times what `against` takes, times `scale`."""

    against: str
    at_most: float
    scale: float = 1.0
    contender: str = OURS
    label: str = ""

    def text(self) -> str:
        return f"≤ {self.at_most:.3g} × {self.label or self.against}"


@dataclass(frozen=True)
class Sample:
    """All readings of one contender in one row."""

    values: tuple[float, ...] = ()
    trouble: str = ""
    """Why there are none: the peer is not installed, it failed, it hung."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a part of the median."""
        if len(self.values) < 2 or not self.median:
            return 0.0
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return (third - first) / 2 / self.median


@dataclass(frozen=True)
class Verdict:
    """One bar, and where we stand against it."""

    measured: str
    bar: str
    ok: bool


@dataclass(frozen=True)
class Report:
    """One row of the table, measured."""

    name: str
    work: str
    cells: Mapping[str, str]
    verdicts: Sequence[Verdict]
    spreads: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(verdict.ok for verdict in self.verdicts)


@dataclass(frozen=True)
class Row:
    """One line of the table before it is measured."""

    name: str
    work: str
    contenders: Mapping[str, Contender]
    judge: Callable[[Row, Mapping[str, Sample]], Report]
    bars: Sequence[Bar] = ()
    rounds: int = 9
    quick_rounds: int = 3
    prepare: Callable[[bool], dict[str, Any]] = lambda quick: {"quick": quick}
    """Runs once, before the contenders start; what it returns is handed to each of them."""
    together: bool = False
    """The rounds of all contenders at the same moment (for rows that only wait) and not in turn."""


def judge_times(row: Row, samples: Mapping[str, Sample]) -> Report:
    """The usual row: everybody's median time, ratios of medians against the bars."""
    return Report(
        name=row.name,
        work=row.work,
        cells={name: sample.trouble or duration(sample.median) for name, sample in samples.items()},
        verdicts=[_judge_bar(bar, samples) for bar in row.bars],
        spreads={name: sample.spread for name, sample in samples.items() if sample.values},
    )


def _judge_bar(bar: Bar, samples: Mapping[str, Sample]) -> Verdict:
    ours, theirs = samples[bar.contender], samples[bar.against]
    if ours.trouble or theirs.trouble:
        return Verdict(measured="–", bar=bar.text(), ok=False)
    ratio = ours.median / (theirs.median * bar.scale)
    return Verdict(measured=f"{ratio:.3f}", bar=bar.text(), ok=ratio <= bar.at_most)


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            scaled = seconds * factor
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {unit}"
    raise AssertionError("unreachable")
