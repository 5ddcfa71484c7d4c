"""The command line from outside, as users start it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=58)


def phalanx(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "phalanx", *arguments)


def test_it_tells_its_version() -> None:
    assert phalanx("--version").stdout == f"phalanx {metadata.version('phalanx')}\n"


def test_help_lists_the_commands_that_exist() -> None:
    shown = phalanx("--help").stdout
    assert shown.partition("Commands:")[2].split()[0] == "demo"


def test_an_unknown_command_is_an_error() -> None:
    done = phalanx("dmeo")
    assert done.returncode == 2
    assert "dmeo" in done.stderr


def test_the_demo_refuses_a_pool_of_nobody() -> None:
    assert phalanx("demo", "--workers", "0").returncode == 2


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_its_extra_it_says_how_to_get_it(package: str) -> None:
    done = run("-c", f"import sys; sys.modules[{package!r}] = None; from phalanx._cli import main; main()")
    assert done.returncode == 1
    assert done.stderr == f'the phalanx command needs {package}: pip install "phalanx[cli]"\n'


@pytest.mark.slow
def test_the_demo_answers_all_six_questions() -> None:
    done = phalanx("demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    asked = [line[0] for line in done.stdout.splitlines() if line[:1].isdigit() and line[1:3] == ". "]
    assert asked == ["1", "2", "3", "4", "5", "6"]
    assert "[1, 4, 9, 16, 25, 36, 49, 64, 81, 100]" in done.stdout
    assert "11,987 primes" in done.stdout
    for number in (1, 2, 3, 4):
        assert f"this process prints {number}" in done.stdout
    assert done.stdout.rstrip("─\n ").endswith(" s")
