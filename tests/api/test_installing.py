"""`install` and `phalanx run`."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool as bound_pool
from pathlib import Path
from typing import Any

import pytest

import phalanx

# In a tuple: as a name of this module it would be replaced.
STANDARD: Any = (ProcessPoolExecutor,)


@pytest.fixture
def installed() -> Iterator[None]:
    phalanx.install()
    yield
    phalanx.uninstall()


def pool_kinds(_: object = None) -> list[str]:
    """Where the classes come from, however a program gets at them."""
    makers: list[Any] = [
        multiprocessing.Pool,
        bound_pool,
        multiprocessing.pool.Pool,
        multiprocessing.get_context("fork").Pool,
        multiprocessing.pool.ThreadPool,
        multiprocessing.dummy.Pool,
    ]
    kinds = []
    for make in makers:
        with make(1) as pool:
            assert pool.map(abs, [-1]) == [1]
            kinds.append(type(pool).__module__)
            pool.close()
            pool.join()
    for make in (concurrent.futures.ProcessPoolExecutor, ProcessPoolExecutor):
        with make(1) as executor:
            assert executor.submit(abs, -1).result() == 1
            kinds.append(type(executor).__module__)
    return kinds


def test_every_way_to_a_pool_leads_to_ours(installed: None) -> None:
    assert set(pool_kinds()) == {"phalanx.pool", "phalanx"}
    phalanx.install()  # once is enough
    phalanx.uninstall()
    assert ProcessPoolExecutor is STANDARD[0]
    assert multiprocessing.pool.Pool.__module__ == "multiprocessing.pool"
    phalanx.uninstall()


def test_it_is_in_force_in_workers(installed: None, start_method: str) -> None:
    [kinds] = phalanx.map(pool_kinds, [1], start_method=start_method)
    assert set(kinds) == {"phalanx.pool", "phalanx"}


def test_a_class_derived_before_stays_what_it_is() -> None:
    class Mine(ProcessPoolExecutor):
        pass

    phalanx.install()
    try:
        assert issubclass(Mine, STANDARD)
    finally:
        phalanx.uninstall()


def test_a_name_that_was_set_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    phalanx.install()
    monkeypatch.setattr(module, "bound_pool", None)
    monkeypatch.setattr(module, "ProcessPoolExecutor", "other")
    phalanx.uninstall()
    assert vars(module)["ProcessPoolExecutor"] == "other"


PROGRAM = """
import sys
import multiprocessing
import helper

def square(x):
    return x * x

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        print(type(pool).__module__, pool.map(square, range(4)), sys.argv[1:], helper.here)
    if sys.argv[-1] == "fail":
        {}["nothing"]
    sys.exit(3)
"""


def ran(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "phalanx", "run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        cwd=folder,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("here = 'found'\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def test_a_program_is_run_on_our_engine(program: Path, start_method: str) -> None:
    done = ran("program.py", start_method, "--its", "own", folder=program)
    assert done.stdout == f"phalanx.pool [0, 1, 4, 9] ['{start_method}', '--its', 'own'] found\n", done.stderr
    assert (done.returncode, done.stderr) == (3, "")


def test_a_module_is_run_on_our_engine(program: Path) -> None:
    done = ran("-m", "program", "spawn", folder=program)
    assert done.stdout == "phalanx.pool [0, 1, 4, 9] ['spawn'] found\n"
    assert done.returncode == 3


def test_an_error_shows_the_program_alone(program: Path) -> None:
    done = ran("program.py", "fork", "fail", folder=program)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "program.py" in lines[1]
    assert lines[-1] == "KeyError: 'nothing'"
    assert "phalanx" not in done.stderr


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    done = ran("nobody.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "phalanx run: there is no file 'nobody.py'\n")
