"""The commands and their options; what they do is in a module of its own each."""

from __future__ import annotations

import sys

import click

from phalanx._cli import demo as demo_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="phalanx", message="phalanx %(version)s")
def phalanx() -> None:
    """Multiprocessing as it should be."""


@phalanx.command()
@click.option(
    "--workers", type=click.IntRange(min=1), help="Most workers to use; the number of cores if not given."
)
def demo(workers: int | None) -> None:
    """Answer six questions about processes, each by a program that runs here and a number measured here."""
    sys.exit(demo_command.run(workers))
