"""Every program in README runs, and prints what its comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^\s*(?:print\(.*\)  # (?P<behind>.*)|# (?P<alone>.*))$", re.MULTILINE)
HEADING = re.compile(r"^### (.*)$", re.MULTILINE)


def programs() -> list[tuple[str, str]]:
    """(heading it stands under, source) of each."""
    found = []
    for match in PROGRAM.finditer(README):
        headings = HEADING.findall(README, 0, match.start())
        found.append((headings[-1], match[1]))
    return found


def promised(source: str) -> list[str]:
    """What the comments say: those behind a `print`, and those that have a line of their own."""
    return [match["behind"] or match["alone"] for match in PRINTED.finditer(source)]


@pytest.mark.parametrize(("heading", "source"), programs(), ids=[heading for heading, _ in programs()])
def test_a_program_prints_what_its_comments_say(heading: str, source: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == promised(source)


def test_each_program_promises_something() -> None:
    assert programs()
    assert all(promised(source) for _, source in programs())


def test_every_option_in_readme_exists_and_every_option_stands_in_readme() -> None:
    from phalanx._base.options import SCOPES

    table = README.partition("## Options so far")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(SCOPES) | {"workers", "max_workers", "processes"}


def test_each_relative_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]
