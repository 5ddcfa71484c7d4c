"""The table: on the terminal, and in README between two markers."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Report

PEERS = ("phalanx", "multiprocessing", "concurrent.futures", "loky", "joblib", "mpire", "pebble")
BROKEN = {"multiprocessing": "multi-\nprocessing", "concurrent.futures": "concurrent\n.futures"}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NARROWEST = 210  # columns; narrower than this the cells break


def _cell(report: Report, name: str) -> str:
    text = report.cells.get(name, "")
    spread = report.spreads.get(name)
    return f"{text} ±{spread:.0%}" if spread is not None and text else text


def _line(report: Report) -> list[str]:
    others = [name for name in report.cells if name not in PEERS]
    return [
        report.work,
        *(_cell(report, name) for name in PEERS),
        "\n".join(f"{name}: {_cell(report, name)}" for name in others),
        "\n".join(verdict.measured for verdict in report.verdicts),
        "\n".join(verdict.bar for verdict in report.verdicts),
        "\n".join("yes" if verdict.ok else "NO" for verdict in report.verdicts),
    ]


def show(reports: Sequence[Report], console: Console) -> None:
    """Print the table; a row of it for each report."""
    table = Table(caption=conditions(), show_lines=True, padding=(0, 0))
    table.add_column("work", min_width=24)
    for peer in PEERS:
        table.add_column(BROKEN.get(peer, peer), justify="right", overflow="fold")
    table.add_column("other", justify="right", overflow="fold")
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("bar", no_wrap=True)
    table.add_column("ok")
    for report in reports:
        table.add_row(*_line(report), style=None if report.ok else "red")
    if console.width < NARROWEST:
        console = Console(width=NARROWEST, file=console.file)
    console.print(table)


def conditions() -> str:
    """What the numbers hold for: the machine and the versions."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PEERS if _version(name))
    return (
        f"Medians ± half the distance between the quartiles; {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}; {versions}"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""  # part of the standard library, or not installed


def as_markdown(reports: Sequence[Report]) -> str:
    """The table for README: times only; the bars are for `make bench`."""
    columns = (*PEERS, "other")
    lines = [
        "| work, 2 workers | " + " | ".join(f"`{name}`" for name in PEERS) + " | other |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for report in reports:
        cells = [_for_markdown(report.cells.get(name, "")) for name in PEERS]
        others = [f"{name}: {report.cells[name]}" for name in report.cells if name not in PEERS]
        facts = [] if report.spreads else [verdict.measured for verdict in report.verdicts]
        lines.append(f"| {report.work} | " + " | ".join((*cells, "; ".join((*others, *facts)))) + " |")
    return "\n".join((*lines, "", conditions() + "."))


def _for_markdown(cell: str) -> str:
    return cell.replace("|", "/") or "–"


def rewrite_readme(reports: Sequence[Report], readme: Path) -> None:
    """Put the measured table between the markers."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{readme.name}: the markers {BEGIN} and {END} are missing")
    readme.write_text(f"{before}{BEGIN}\n{as_markdown(reports)}\n{END}{after}", encoding="utf-8")
