"""What is left of memory is what the machine has left, or less, where a cgroup has a limit."""

from __future__ import annotations

import os

import pytest

from phalanx._platform import memory
from phalanx._platform.cgroups import MOUNTS, OURS
from phalanx._platform.memory import CgroupMemory, available_of, entry, floor_of, private_of

ROOT = "/sys/fs/cgroup"
V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory\n"
NO_LIMIT = 9223372036854771712
FREE = 10_000


class Files(dict[str, str]):
    """A file system that knows how often each file was read."""

    def __init__(self, ours: str, mounts: str) -> None:
        super().__init__({OURS: ours, MOUNTS: mounts})
        self.reads: list[str] = []

    def read(self, path: str) -> str | None:
        self.reads.append(path)
        return super().get(path)

    def unified(self, folder: str, most: object, high: object, used: int, spare: int = 0) -> None:
        self[f"{ROOT}{folder}/memory.max"] = f"{most}\n"
        self[f"{ROOT}{folder}/memory.high"] = f"{high}\n"
        self[f"{ROOT}{folder}/memory.current"] = f"{used}\n"
        self[f"{ROOT}{folder}/memory.stat"] = f"anon 7\nfile 5\ninactive_anon 3\ninactive_file {spare}\n"

    def first(self, folder: str, limit: int, used: int, spare: int = 0) -> None:
        self[f"{ROOT}/memory{folder}/memory.limit_in_bytes"] = f"{limit}\n"
        self[f"{ROOT}/memory{folder}/memory.usage_in_bytes"] = f"{used}\n"
        self[f"{ROOT}/memory{folder}/memory.stat"] = f"inactive_file 1\ntotal_inactive_file {spare}\n"

    def left(self) -> int:
        return CgroupMemory(self.read).least_left(FREE)


def test_private_memory_is_what_no_other_process_shares() -> None:
    text = (
        "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:  900 kB\nPss:  500 kB\nShared_Clean:  300 kB\n"
        "Shared_Dirty:  200 kB\nPrivate_Clean:  30 kB\nPrivate_Dirty:  400 kB\nPrivate_Hugetlb:  2 kB\n"
    )
    assert private_of(text) == 432 * 1024


def test_of_blocks_only_what_the_process_has_written_itself_is_its_own() -> None:
    text = (
        "7f00-7f01 rw-s 00000000 00:01 36 /memfd:phalanx-block (deleted)\nPrivate_Dirty: 900 kB\nAnonymous: 0 kB\n"
        "7f02-7f03 rw-p 00000000 00:01 37 /memfd:phalanx-block (deleted)\nPrivate_Dirty: 70 kB\nAnonymous: 64 kB\n"
        "7f04-7f05 rw-p 00000000 00:00 0\nPrivate_Dirty: 8 kB\nAnonymous: 8 kB\n"
    )
    assert private_of(text) == 72 * 1024


def test_the_machine_says_what_is_available() -> None:
    assert available_of("MemTotal:  900 kB\nMemFree:  100 kB\nMemAvailable:  700 kB\n") == 700 * 1024
    assert available_of("MemTotal:  900 kB\nMemFree:  100 kB\n") is None, "a kernel before 3.14"


def test_version_2_leaves_what_is_not_in_use_and_what_can_be_had_back() -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", 5000, "max", 4000, 600)
    assert files.left() == 1600


def test_slowing_down_counts_as_a_limit() -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", 5000, 4500, 4000)
    assert files.left() == 500


def test_the_least_counts_of_all_that_our_cgroup_is_part_of() -> None:
    files = Files("0::/a/b/c\n", V2)
    files.unified("/a/b/c", "max", "max", 100)
    files.unified("/a/b", 5000, "max", 4000)
    files.unified("/a", 8000, "max", 7700)
    assert files.left() == 300
    assert CgroupMemory(files.read).least_limit(100_000) == 5000


def test_what_is_beyond_the_limit_leaves_nothing() -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", "max", 4000, 4500)
    assert files.left() == 0


def test_version_1_counts_what_is_below_as_well() -> None:
    files = Files("4:memory:/docker/abc\n", V1)
    files.first("/docker/abc", 5000, 4000, 600)
    files.first("/docker", NO_LIMIT, 9000)
    files.first("", NO_LIMIT, 90_000)
    assert files.left() == 1600
    assert CgroupMemory(files.read).least_limit(100_000) == 5000


def test_a_limit_that_is_larger_than_the_machine_is_none() -> None:
    files = Files("4:memory:/docker/abc\n", V1)
    files.first("/docker/abc", NO_LIMIT, 4000)
    assert files.left() == FREE
    assert CgroupMemory(files.read).least_limit(100_000) == 100_000


@pytest.mark.parametrize(
    ("ours", "mounts"), [("", ""), ("0::/a\n", ""), ("", V2), ("0::/a\n", V2), ("4:memory:/x\n", V1)]
)
def test_where_nothing_is_said_the_machine_counts(ours: str, mounts: str) -> None:
    files = Files(ours, mounts)
    assert files.left() == FREE
    assert CgroupMemory(files.read).least_limit(100) == 100


def test_the_file_that_takes_long_to_read_is_read_only_where_it_matters() -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", 50_000, "max", 4000)
    found = CgroupMemory(files.read)
    files.reads.clear()
    assert found.least_left(FREE) == FREE
    assert files.reads == [f"{ROOT}/a/memory.{name}" for name in ("max", "high", "current")]
    assert found.least_left(48_000) == 46_000
    assert files.reads[-1] == f"{ROOT}/a/memory.stat"


def test_a_limit_that_is_changed_or_goes_away_is_noticed() -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", 5000, "max", 4000)
    found = CgroupMemory(files.read)
    assert found.least_left(FREE) == 1000
    files.unified("/a", 6000, "max", 4000)
    assert found.least_left(FREE) == 2000
    for path in [path for path in files if path.startswith(ROOT)]:
        del files[path]
    assert found.least_left(FREE) == FREE


def test_an_entry_that_is_not_there_is_zero() -> None:
    assert entry("inactive_file 5\n", "inactive_file") == 5
    assert entry("inactive_files 5\n", "inactive_file") == 0


def test_the_floor_is_a_part_of_all_there_is_but_never_much() -> None:
    assert floor_of(3_200_000_000) == 100_000_000
    assert floor_of(64_000_000_000) == floor_of(1 << 50) == 500_000_000


def test_a_small_limit_makes_a_small_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files("0::/a\n", V2)
    files.unified("/a", 64_000_000, "max", 4000)
    monkeypatch.setattr(memory, "_our_cgroups", lambda: CgroupMemory(files.read))
    assert memory.memory_floor() == 2_000_000
    assert memory.available() == 64_000_000 - 4000


def test_cgroups_are_found_once_and_by_a_forked_child_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    found = memory._our_cgroups()
    assert memory._our_cgroups() is found
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert memory._our_cgroups() is not found
    monkeypatch.undo()
    assert memory._our_cgroups() is not found


def test_on_this_system_it_can_be_asked() -> None:
    free = memory.available()
    assert free is not None
    assert free > 0
    assert memory.memory_floor() > 0
