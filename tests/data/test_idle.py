"""What is let go of while a pool is idle goes back while it is idle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx
from phalanx import Executor, Pool
from tests.data.tasks import echo
from tests.promises.tasks import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks for blocks in /proc")

SIZE = 16_000_000


@pytest.fixture(autouse=True)
def nothing_is_kept_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process and what is forked from it."""
    monkeypatch.setattr("phalanx._memory.depot._WARM_LEAST", 1)
    monkeypatch.setattr("phalanx._memory.depot._WARM_PART", 1 << 60)


def bytes_of_blocks(pid: int) -> int:
    """How much memory in blocks a process has a hold of."""
    size = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "phalanx-block" in os.readlink(descriptor):
                size += descriptor.stat().st_size
        except FileNotFoundError:
            continue
    return size


def has_mapped_blocks(pid: int) -> bool:
    return "phalanx-block" in Path(f"/proc/{pid}/maps").read_text()


def make(number: int) -> Any:
    return np.full(SIZE // 8, float(number))


def look(thing: Any) -> float:
    return float(thing[-1])


@pytest.mark.parametrize("kind", [Pool, Executor])
def test_results(kind: Any) -> None:
    with kind(1, start_method="fork") as pool:
        results = list(pool.map(make, range(4)))
        pid = pool.status()[0].pid
        assert bytes_of_blocks(pid) >= 4 * SIZE
        results.clear()
        assert wait_until(lambda: bytes_of_blocks(pid) < SIZE)
        assert [look(each) for each in pool.map(make, range(4))] == [0, 1, 2, 3]


def test_what_is_shared(start_method: str) -> None:
    with Executor(1, start_method=start_method) as executor:
        pid = executor.submit(os.getpid).result()
        for make_one in (phalanx.share, phalanx.array):
            thing = make_one(np.ones(SIZE // 8))
            executor.submit(look, thing).result()
            assert has_mapped_blocks(pid)
            del thing
            assert wait_until(lambda: not has_mapped_blocks(pid))
        assert executor.submit(look, phalanx.share(np.ones(SIZE // 8))).result() == 1


def test_a_forked_child_leaves_the_pool_alone() -> None:
    with Executor(1, start_method="fork") as executor:
        results = [executor.submit(make, number).result() for number in range(4)]
        child = os.fork()
        if not child:
            results.clear()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert executor.submit(echo, 5).result() == 5
        assert [look(each) for each in results] == [0, 1, 2, 3]
