"""``python -m benchmarks``: this library and its peers, side by side in one run.

Every contender has a process of its own; the rounds of all are interleaved (A B C A B C ...), so that a
machine that slows down slows down everybody. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from rich.console import Console

from benchmarks import table
from benchmarks.measure import Report
from benchmarks.race import ROOT, run_row
from benchmarks.rows import ROWS

BUSY = 0.5  # load average of a machine that is not ours alone


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a measurement")
    parser.add_argument("--readme", action="store_true", help="also write the table into README.md")
    options = parser.parse_args(arguments)
    if options.readme and (options.only or options.quick):
        parser.error("--readme takes a whole, full run: leave --only and --quick out")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    if os.getloadavg()[0] > BUSY:
        console.print(
            f"the load is {os.getloadavg()[0]:.1f} already: what else runs here will be in the numbers"
        )
    begun = time.monotonic()
    reports: list[Report] = []
    with console.status("") as status:
        for name in options.only or ROWS:
            reports.append(run_row(ROWS[name], options.quick, status.update))
            passed = "ok" if reports[-1].ok else "MISSED"
            console.print(f"{name}: {passed}  " + "  ".join(v.measured for v in reports[-1].verdicts))
    table.show(reports, console)
    if options.readme:
        table.rewrite_readme(reports, ROOT / "README.md")
    missed = [report.name for report in reports if not report.ok]
    console.print(
        f"{time.monotonic() - begun:.0f} s; " + (f"missed: {', '.join(missed)}" if missed else "all bars met")
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
