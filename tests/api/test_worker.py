"""`phalanx.worker`: what a task can ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import phalanx
from phalanx import Executor, Pool

BACKENDS = ["processes", "threads", "serial"]


def index(_: Any) -> int | None:
    return phalanx.worker.task_index


def fail_with_index(_: Any) -> None:
    raise ValueError(phalanx.worker.task_index)


def slot(_: Any) -> int | None:
    return phalanx.worker.slot


def slot_and_pid(_: Any) -> tuple[int | None, int]:
    return phalanx.worker.slot, os.getpid()


def count(_: Any) -> int:
    state = phalanx.worker.state
    state["calls"] = state.get("calls", 0) + 1
    return int(state["calls"])


def open_something(path: str) -> None:
    worker = phalanx.worker
    worker.state["file"] = Path(path, str(worker.slot))
    worker.at_exit(worker.state["file"].write_text, "closed")
    worker.at_exit(note, worker.state["file"], "closing ")


def note(path: Path, text: str) -> None:
    assert not path.exists()
    print(text, file=sys.stderr)
    raise RuntimeError("an error here keeps nobody from closing")


def file_of(_: Any) -> str:
    return str(phalanx.worker.state["file"])


def inner(_: Any) -> tuple[int | None, list[int | None]]:
    inside = phalanx.map(index, "ab", backend="serial")
    return phalanx.worker.task_index, inside


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_index_is_that_in_the_call(backend: str) -> None:
    assert phalanx.map(index, range(50), backend=backend) == list(range(50))
    assert list(phalanx.stream(index, range(50), backend=backend)) == list(range(50))
    with Executor(1, backend=backend) as executor:
        assert [executor.submit(index, None).result() for _ in range(5)] == [0, 1, 2, 3, 4]
        assert list(executor.map(index, range(9), chunksize=4)) == list(range(9))
        error = executor.options(on_error="collect").stream(fail_with_index, range(3))
        assert [each.exception.args[0] for each in error] == [0, 1, 2]


def test_the_index_by_every_start_method(start_method: str) -> None:
    with Pool(2, start_method=start_method) as pool:
        assert pool.map(index, range(50)) == list(range(50))
        assert set(pool.map(slot, range(50), 1)) <= {0, 1}


@pytest.mark.parametrize("timeout", [None, 60])
def test_the_index_of_timed_items(timeout: float | None) -> None:
    assert phalanx.map(index, range(50), timeout=timeout, workers=2) == list(range(50))


def test_pools_in_pools_do_not_mix() -> None:
    assert phalanx.map(inner, range(3), backend="serial") == [(n, [0, 1]) for n in range(3)]
    assert phalanx.map(inner, range(3), workers=2) == [(n, [0, 1]) for n in range(3)]


def test_a_replacement_has_the_slot_of_its_predecessor() -> None:
    with Pool(2, maxtasksperchild=1) as pool:
        seen = pool.map(slot_and_pid, range(12), 1)
    assert {each for each, _ in seen} == {0, 1}
    assert len({pid for _, pid in seen}) == 12


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_state_lives_as_long_as_its_worker(backend: str) -> None:
    with Executor(1, backend=backend) as executor:
        assert list(executor.map(count, range(5))) == [1, 2, 3, 4, 5]
        assert executor.submit(count, None).result() == 6
    assert "calls" not in phalanx.worker.state
    with Executor(1, backend=backend, max_tasks_per_child=2) as executor:
        assert sorted(executor.map(count, range(4), chunksize=1)) == [1, 1, 2, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_an_initializer_has_opened_is_closed(
    backend: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Executor(1, backend=backend, initializer=open_something, initargs=(str(tmp_path),)) as executor:
        assert executor.submit(file_of, None).result() == str(tmp_path / "0")
        assert not (tmp_path / "0").exists()
    assert (tmp_path / "0").read_text() == "closed"
    assert "an error here keeps nobody from closing" in capfd.readouterr().err


def test_outside_of_workers_it_can_be_asked_too() -> None:
    assert (phalanx.worker.slot, phalanx.worker.task_index) == (None, None)
    assert repr(phalanx.worker) == "<phalanx.worker slot=None task_index=None>"
    assert 0 <= phalanx.worker.rng.random() < 1
    program = "import phalanx; phalanx.worker.at_exit(print, 'closed')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "closed\n"
