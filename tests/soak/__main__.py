"""`python -m tests.soak --minutes 5`: workers are killed for so long. Exits with 1 if anything was lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.rounds import Guard, Tally, one_round


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between two strikes (0.15)")
    parser.add_argument("--methods", nargs="*", default=["fork", "forkserver", "spawn"], help="start methods")
    options = parser.parse_args()
    tally = soak(options.minutes * 60, options.pause, options.methods)
    print(tally)
    return 0 if tally.is_clean else 1


def soak(seconds: float, pause: float, methods: list[str]) -> Tally:
    """Rounds by each method in turn until the time is over or something hangs."""
    tally, until, number = Tally(), time.monotonic() + seconds, 0
    guard = Guard()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until and not tally.hangs:
            one_round(tally, methods[number % len(methods)], number, pause, Path(folder))
            number += 1
            if number == len(methods):
                guard = (
                    Guard()
                )  # what the standard library keeps for the next time (a fork server) is no leak
    found = list(guard.leaked())
    tally.leaks += len(found)
    tally.notes += found
    return tally


if __name__ == "__main__":
    sys.exit(main())
