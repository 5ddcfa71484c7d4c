"""The commands and their options; what they do is in a module of its own each."""

from __future__ import annotations

import sys

import click

from phalanx._cli import demo as demo_command
from phalanx._cli import running


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


# What follows the program is its own, options too.
@phalanx.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "is_module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(program: str, arguments: tuple[str, ...], is_module: bool) -> None:
    """Run PROGRAM as it is, with the pools of multiprocessing and concurrent.futures replaced by those of phalanx.

    PROGRAM is a file of Python, followed by its own arguments.
    """
    running.run(program, arguments, is_module)
