"""The programs that the project was asked for: they run, and print what they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHIPPED = ROOT / "src" / "phalanx" / "_cli" / "programs"
CHANGED_LINE = "import phalanx as multiprocessing\n"

PRINTS = {
    "question3.py": [str([n for n in range(1, 100) if n % 2 == 0])],
    "question5.py": ["[1, 4, 9, 16, 25, 36, 49, 64, 81, 100]"],
    "question6.py": [f"this process prints {n}" for n in (1, 2, 3, 4)],
}


def lines_of(program: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_each_example_has_its_output_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", PRINTS)
def test_an_example_prints_what_it_should(name: str) -> None:
    # Sorted, as the four processes of question 6 come in any order.
    assert sorted(lines_of(EXAMPLES / name)) == sorted(PRINTS[name])


@pytest.mark.parametrize("name", PRINTS)
def test_one_import_line_is_all_that_was_changed(name: str, tmp_path: Path) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.count("phalanx") == 1
    assert CHANGED_LINE in text
    original = tmp_path / name
    original.write_text(text.replace(CHANGED_LINE, "import multiprocessing\n"), encoding="utf-8")
    assert sorted(lines_of(original)) == sorted(PRINTS[name])


def test_the_demo_ships_the_same_programs() -> None:
    shipped = {path.name: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.py")}
    assert shipped == {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
