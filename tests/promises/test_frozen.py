"""A program that was made one with its interpreter, by PyInstaller, does not start copies of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
import phalanx

print("running", flush=True)

def square(x):
    return x * x

method = sys.argv[1]
print(phalanx.map(square, range(4), workers=2, start_method=method))
with phalanx.Pool(1, context=phalanx.get_context(method)) as pool:
    print(pool.map(lambda x: x + 1, [1]))
process = phalanx.get_context(method).Process(target=square, args=(3,))
process.start()
print(process.result(50))
"""
# Found in the environment of the tests, and needed by nobody here.
LEFT_OUT = ("numpy", "pandas", "IPython", "tkinter", "rich", "joblib", "setuptools", "pytest", "hypothesis")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_frozen_program_has_its_workers(tmp_path: Path) -> None:
    """Without a guard, and without `freeze_support`."""
    (tmp_path / "program.py").write_text(PROGRAM)
    leave_out = [word for name in LEFT_OUT for word in ("--exclude-module", name)]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "PyInstaller",
            "--noconfirm",
            "--log-level",
            "ERROR",
            *leave_out,
            "program.py",
        ],
        check=True,
        capture_output=True,
        timeout=150,
        cwd=tmp_path,
    )
    for method in ("fork", "spawn", "forkserver"):
        done = subprocess.run(
            [tmp_path / "dist" / "program" / "program", method],
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert done.stdout == "running\n[0, 1, 4, 9]\n[2]\n9\n", done.stderr
        assert done.returncode == 0
