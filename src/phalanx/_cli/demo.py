"""`phalanx demo`: six questions, each answered by a program and by a number, both made here and now."""

from __future__ import annotations

import time

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table

from phalanx._cli import measurements
from phalanx._cli.jobs import WAIT

POOL_SIZE = 4


def run(workers: int | None) -> int:
    """Show all six; 0 when everything ran."""
    console = Console()
    begun = time.perf_counter()
    cores = measurements.cores()
    console.print(
        f"[bold]phalanx demo[/]: six questions, answered by programs that run now, on this machine "
        f"with {cores} core{'s' if cores > 1 else ''}."
    )
    try:
        _concurrency(console, workers or cores)
        _routes(console, max(workers or cores, POOL_SIZE))
        _program(console, 3, "How does a pool of five processes pick the even numbers?")
        _reuse(console)
        _program(console, 5, "How does a pool of four processes square ten numbers, in order?")
        _program(console, 6, "How do four processes print a number each, and no line is torn?")
    except measurements.ProgramFailed as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(Rule(f"all six in {time.perf_counter() - begun:.1f} s"))
    return 0


def _ask(console: Console, number: int, question: str) -> None:
    console.print()
    console.print(Rule(f"[bold]{number}. {question}", align="left"))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2f} ms"


def _concurrency(console: Console, most: int) -> None:
    _ask(console, 1, "What does it bring to run a function in several processes at once?")
    measured = measurements.divide_a_job(most)
    console.print(
        f"One large job, counting the primes below {measurements.PRIMES_BELOW:,}, is cut into "
        f"{measured.pieces} pieces; the workers do pieces side by side, each on a core of its own."
    )
    table = Table("who", "time", "times faster")
    table.add_row("this process alone", _milliseconds(measured.serial), "1.00")
    for workers, seconds in measured.by_workers.items():
        who = "1 worker" if workers == 1 else f"{workers} workers"
        table.add_row(who, _milliseconds(seconds), f"{measured.serial / seconds:.2f}")
    console.print(table)
    best = min(measured.by_workers, key=measured.by_workers.__getitem__)
    gain = measured.serial / measured.by_workers[best]
    console.print(
        f"All found {measured.primes:,} primes; {best} workers were {gain:.2f} times as fast as one process."
    )


def _routes(console: Console, workers: int) -> None:
    _ask(console, 2, "Processes or threads?")
    measured = measurements.compare_routes(workers)
    console.print(
        f"The same calls, with only [bold]backend=[/] changed; {workers} workers. The CPU-bound function "
        f"counts primes, the I/O-bound one waits {WAIT * 1e3:.0f} ms for an answer, "
        f"{measurements.REQUESTS} times."
    )
    table = Table("", *measurements.ROUTES, "use")
    for what, times in (("CPU-bound", measured.cpu), ("I/O-bound", measured.io)):
        cells = (_milliseconds(times[route]) for route in measurements.ROUTES)
        table.add_row(what, *cells, f"[bold]{measured.fastest(times)}[/]")
    table.add_row(
        "start and stop", *(_milliseconds(measured.start[route]) for route in measurements.ROUTES), ""
    )
    memory = (f"{measured.shared[route]} of 100" for route in measurements.ROUTES)
    table.add_row("changes to a global, seen by the caller", *memory, "")
    console.print(table)
    console.print(
        "Processes run at the same moment and have their own memory; threads share memory and take turns at "
        "computing, but waiting needs no turn. 'use' is the fastest here; of two that are close, the one "
        "that starts faster."
    )


def _program(console: Console, number: int, question: str) -> None:
    _ask(console, number, question)
    done = measurements.run_program(f"question{number}")
    console.print(
        Syntax(done.source.strip(), "python", theme="ansi_dark", background_color="default", word_wrap=True)
    )
    console.print(Panel(done.output.rstrip(), title="it prints", title_align="left", expand=False))
    console.print(f"In {_milliseconds(done.seconds)}, with the start of the interpreter.")


def _reuse(console: Console) -> None:
    _ask(console, 4, "What is a pool good for?")
    measured = measurements.reuse_workers(POOL_SIZE)
    items = sum(measured.items_by_pid.values())
    table = Table("process", "items done")
    for pid, count in sorted(measured.items_by_pid.items()):
        table.add_row(str(pid), str(count))
    console.print(
        f"It keeps its processes: {items} items were done by {len(measured.items_by_pid)} processes, "
        f"not by {items}."
    )
    console.print(table)
    console.print(
        f"One call takes {_milliseconds(measured.one_pool)} on a pool that is kept, and "
        f"{_milliseconds(measured.pool_per_call)} with a new pool for each call: "
        f"{measured.pool_per_call / measured.one_pool:.0f} times as much."
    )
