"""A real shortage of memory, in a cgroup of the test's own: the kernel takes the worker, and we say that it did."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from phalanx._platform.cgroups import own_hierarchies
from tests.promises.programs import program
from tests.promises.tasks import wait_until

LIMIT = 160 << 20

TASK = """
def task(megabytes):
    return len(bytearray(b"x") * (megabytes << 20)) >> 20
"""

MAIN = f"""
    with open(os.environ["CGROUP"] + "/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    with Executor(2, start_method=METHOD) as executor:
        futures = [executor.submit(task, megabytes) for megabytes in (1, {2 * LIMIT >> 20}, 2, 3)]
        error = futures[1].exception()
        ready(type(error).__name__, error.signal, error.index, *[f.result() for f in futures if f is not futures[1]])
        ready("OOM killer ran" in error.reason, "max_memory" in str(error))
"""


def make_cgroup() -> Path | None:
    """A cgroup with little memory, below our own; None where that is not to be had."""
    for version, directories in own_hierarchies("memory"):
        group = Path(directories[0], f"phalanx-test-{os.getpid()}")
        limit = group / ("memory.limit_in_bytes" if version == 1 else "memory.max")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            limit.write_text(str(LIMIT))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


@pytest.fixture
def cgroup() -> Iterator[Path]:
    group = make_cgroup()
    if group is None:
        pytest.skip("no cgroup with a limit of memory can be made here")
    yield group

    def is_removed() -> bool:
        """Not while anybody is in it, and some leave a moment after the program: fork server, resource tracker."""
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    assert wait_until(is_removed)


def test_the_oom_killer_takes_the_worker_and_is_named(
    start_method: str, cgroup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGROUP", str(cgroup))
    with program(tmp_path, TASK, MAIN, start_method) as parent:
        assert parent.line() == ["WorkerLost", "9", "1", "1", "2", "3"]
        assert parent.line() == ["True", "True"]
        assert parent.process.wait(10) == 0
