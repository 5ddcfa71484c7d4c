"""`python -m tests.soak.data`: large arrays there and back, 100,000 of them. Exits with 1 if a byte was wrong or
if memory or descriptors grew."""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from phalanx import Executor
from tests.data.tasks import checked, number_of, sealed

SIZES = (70_000, 100_000, 200_000, 300_000, 600_000, 1_000_000, 2_000_000)
SOURCES = 64
IN_FLIGHT = 8
# What may come and go: blocks that are kept warm, results that are held for a while.
SPARE_DESCRIPTORS = 150
SPARE_BYTES = 200_000_000


@dataclass
class Reading:
    """What this process and its workers have at one moment."""

    transfers: int
    rss: int
    descriptors: int

    @classmethod
    def take(cls, transfers: int) -> Reading:
        gc.collect()
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        rss = sum(process.memory_info().rss - process.memory_info().shared for process in family)
        return cls(transfers, rss, sum(process.num_fds() for process in family))

    def __str__(self) -> str:
        return f"after {self.transfers:>9,}: {self.rss / 1e6:9.1f} MB of their own, {self.descriptors:>5} descriptors"


@dataclass
class Figures:
    """Of one run."""

    transfers: int = 0
    megabytes: float = 0.0
    wrong: int = 0
    seconds: float = 0.0
    readings: list[Reading] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        early, late = self.readings[1], self.readings[-1]
        return (
            not self.wrong
            and late.rss - early.rss < SPARE_BYTES
            and late.descriptors - early.descriptors < SPARE_DESCRIPTORS
        )

    def __str__(self) -> str:
        head = (
            f"transfers there and back {self.transfers:,}; {self.megabytes:,.0f} MB each way; "
            f"wrong {self.wrong}; {self.seconds:.0f} s"
        )
        return "\n".join([head, *map(str, self.readings)])


def cross(transfers: int, seed: int = 0) -> Figures:
    """Some on their way at each moment, some results kept for a while, of every size."""
    figures, chance = Figures(), random.Random(seed)
    sources = [sealed(number, SIZES[number % len(SIZES)]) for number in range(SOURCES)]
    on_their_way: deque[tuple[int, Any]] = deque()
    kept: deque[np.ndarray[Any, Any]] = deque()
    marks = {0, transfers // 20, transfers // 2}
    begun = time.monotonic()
    with Executor(2, start_method="fork") as executor:
        executor.submit(os.getpid).result()
        for _ in range(transfers + IN_FLIGHT):
            if figures.transfers in marks:
                marks.discard(figures.transfers)
                figures.readings.append(Reading.take(figures.transfers))
            number = chance.randrange(SOURCES)
            on_their_way.append((number, executor.submit(checked, sources[number])))
            if len(on_their_way) > IN_FLIGHT:
                wanted, future = on_their_way.popleft()
                result = future.result(60)
                figures.wrong += number_of(result) != wanted
                figures.transfers += 1
                figures.megabytes += result.nbytes / 1e6
                kept.append(result)
                while len(kept) > chance.randrange(100):
                    kept.popleft()
        figures.readings.append(Reading.take(figures.transfers))
    figures.seconds = time.monotonic() - begun
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="data soak", description=__doc__)
    parser.add_argument("--transfers", type=int, default=100_000, help="how many (100,000)")
    options = parser.parse_args()
    figures = cross(options.transfers)
    print(figures)
    return 0 if figures.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
