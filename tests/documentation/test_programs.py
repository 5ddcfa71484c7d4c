"""Programs like those of the manual print the same with both libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.programs import PROGRAMS


def printed(line: str, program: str, folder: Path) -> list[str]:
    path = folder / "program.py"
    path.write_text(line + program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_the_same(name: str, tmp_path: Path) -> None:
    standard = printed("import multiprocessing\n", PROGRAMS[name], tmp_path)
    ours = printed("import phalanx as multiprocessing\n", PROGRAMS[name], tmp_path)
    assert sorted(ours) == sorted(standard)
    assert ours
