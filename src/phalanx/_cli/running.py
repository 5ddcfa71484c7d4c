"""``phalanx run``: an unmodified program, with `phalanx.install()` in force."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import phalanx

_OUTSIDE = (__name__, "runpy")


def run(program: str, arguments: Sequence[str], is_module: bool) -> None:
    """Run a file, or a module, as the interpreter would, down to what it shows of an exception."""
    try:
        _run(program, arguments, is_module)
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUTSIDE:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


def _run(program: str, arguments: Sequence[str], is_module: bool) -> None:
    phalanx.install()
    sys.argv = [program, *arguments]
    if is_module:
        sys.path.insert(0, str(Path.cwd()))  # as with `python -m`
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    if not Path(program).exists():
        sys.exit(f"phalanx run: there is no file {program!r}")
    folder = Path(program).resolve().parent
    sys.path.insert(0, str(folder))  # as with `python program.py`
    runpy.run_path(program, run_name="__main__")
