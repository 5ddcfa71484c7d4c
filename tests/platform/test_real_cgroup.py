"""In a real cgroup with a quota and a limit of memory both are found, where this machine lets us make one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from phalanx._platform.cgroups import MOUNTS, OURS, hierarchies, read_text
from tests.promises.tasks import wait_until

# By controller and version: what is written to which file. 0.6 processors, in microseconds, and 256 MB.
LIMITS = {
    "cpu": {1: ("cpu.cfs_quota_us", "60000"), 2: ("cpu.max", "60000 100000")},
    "memory": {1: ("memory.limit_in_bytes", str(1 << 28)), 2: ("memory.max", str(1 << 28))},
}

INSIDE = """
import json, sys
sys.stdin.readline()
from phalanx import Pool, cpu_budget
from phalanx._platform.memory import available, memory_floor
budget = cpu_budget()
with Pool() as pool:
    size = len(pool.map(abs, range(-3, 0))) and len(pool._pool)
json.dump([budget.number, budget.source, size, available(), memory_floor()], sys.stdout)
"""


@contextmanager
def directory(path: Path) -> Iterator[None]:
    path.mkdir()
    try:
        yield
    finally:
        assert wait_until(lambda: is_removed(path)), f"{path} is still there"


def is_removed(path: Path) -> bool:
    """It is busy until the kernel is done with the processes that were in it."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def make_limited(controller: str, stack: ExitStack, made: set[Path]) -> None:
    """Make a cgroup in the nearest place where the controller works, and set its limit."""
    ours, mounts = read_text(OURS) or "", read_text(MOUNTS) or ""
    reason = f"no hierarchy of cgroups has {controller}"
    for version, directories in hierarchies(controller, ours, mounts):
        name, limit = LIMITS[controller][version]
        for parent in directories:
            path = Path(parent, f"phalanx-test-{os.getpid()}")
            try:
                if path not in made:
                    stack.enter_context(directory(path))
                    made.add(path)
                if (path / name).exists():
                    (path / name).write_text(limit)
                    return
            except OSError as error:
                reason = str(error)
    pytest.skip(f"cannot make a cgroup with a limit for {controller} (that takes root): {reason}")


@pytest.fixture
def limited() -> Iterator[set[Path]]:
    """Cgroups for one process, with limits; removed in the end."""
    made: set[Path] = set()
    with ExitStack() as stack:
        for controller in LIMITS:
            make_limited(controller, stack, made)
        yield made


def inside(cgroups: set[Path]) -> Any:
    """What a process finds that is in these."""
    process = subprocess.Popen(
        [sys.executable, "-c", INSIDE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PHALANX_WORKERS"},
    )
    try:
        for path in cgroups:
            (path / "cgroup.procs").write_text(str(process.pid))
        out, err = process.communicate("go\n", timeout=30)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return json.loads(out)


def test_a_quota_and_a_limit_of_memory_are_found(limited: set[Path]) -> None:
    number, source, size, available, floor = inside(limited)
    assert (number, size) == (1, 1)
    if (os.cpu_count() or 1) > 1:
        assert "CPU quota" in source
        assert any(str(path) in source for path in limited)
    assert (1 << 27) < available < (1 << 28)
    assert floor == (1 << 28) // 32
