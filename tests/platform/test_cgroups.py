"""Quotas are found in our cgroup and in all that it is part of, wherever they are mounted."""

from __future__ import annotations

import pytest

from phalanx._platform.cgroups import MOUNTS, OURS, cpu_quotas, hierarchies, processors_of, read_text

ROOT = "/sys/fs/cgroup"
V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
"""
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def quotas(ours: str, mounts: str, files: dict[str, str]) -> list[tuple[int, str]]:
    return list(cpu_quotas({OURS: ours, MOUNTS: mounts, **files}.get))


def test_a_controller_is_looked_for_in_its_own_hierarchy_and_in_version_2() -> None:
    ours = "4:memory:/jobs/7\n2:cpu,cpuacct:/web\n1:cpuset:/elsewhere\n0::/y\n"
    unified = (2, [f"{ROOT}/unified/y", f"{ROOT}/unified"])
    assert list(hierarchies("cpu", ours, V1 + UNIFIED)) == [
        (1, [f"{ROOT}/cpu,cpuacct/web", f"{ROOT}/cpu,cpuacct"]),
        unified,
    ]
    assert list(hierarchies("memory", ours, V1 + UNIFIED)) == [
        (1, [f"{ROOT}/memory/jobs/7", f"{ROOT}/memory/jobs", f"{ROOT}/memory"]),
        unified,
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("200001 100000\n", 3),
        ("5000 100000\n", 1),
        ("400000\n 100000\n", 4),
        ("max 100000\n", None),
        ("-1\n 100000\n", None),
        ("max\n", None),
        ("", None),
        ("0 100000", None),
        ("100000 0", None),
        ("a b", None),
    ],
)
def test_a_quota_is_rounded_up_to_whole_processors(text: str, number: int | None) -> None:
    assert processors_of(text) == number


def test_every_quota_from_our_cgroup_up_to_the_root_is_told_with_the_file_that_says_it() -> None:
    files = {
        f"{ROOT}/a.slice/b.service/cpu.max": "max 100000\n",
        f"{ROOT}/a.slice/cpu.max": "250000 100000\n",
        f"{ROOT}/other.slice/cpu.max": "100000 100000\n",
    }
    assert quotas("0::/a.slice/b.service\n", V2, files) == [(3, f"{ROOT}/a.slice/cpu.max")]


def test_in_a_container_with_a_namespace_the_mount_point_is_its_own_cgroup() -> None:
    assert quotas("0::/\n", V2, {f"{ROOT}/cpu.max": "200000 100000\n"}) == [(2, f"{ROOT}/cpu.max")]


def test_version_1_has_quota_and_period_in_two_files() -> None:
    folder = f"{ROOT}/cpu,cpuacct"
    files = {
        f"{folder}/docker/abc/cpu.cfs_quota_us": "50000\n",
        f"{folder}/docker/abc/cpu.cfs_period_us": "100000\n",
        f"{folder}/docker/cpu.cfs_quota_us": "600000\n",
        f"{folder}/docker/cpu.cfs_period_us": "100000\n",
        f"{folder}/cpu.cfs_quota_us": "-1\n",
        f"{folder}/cpu.cfs_period_us": "100000\n",
    }
    assert quotas("2:cpu,cpuacct:/docker/abc\n", V1, files) == [
        (1, f"{folder}/docker/abc/cpu.cfs_quota_us"),
        (6, f"{folder}/docker/cpu.cfs_quota_us"),
    ]


def test_version_1_in_a_container_that_sees_only_itself() -> None:
    mounts = V1.replace("0:29 / ", "0:29 /docker/abc ")
    folder = f"{ROOT}/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": "300000\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    assert quotas("2:cpu,cpuacct:/docker/abc\n", mounts, files) == [(3, f"{folder}/cpu.cfs_quota_us")]


@pytest.mark.parametrize(
    ("ours", "mounts"), [("", ""), ("0::/a\n", ""), ("", V2), ("0::/a\n", V2), ("x\n::\n", " - cgroup\n")]
)
def test_where_nothing_is_said_there_is_no_quota(ours: str, mounts: str) -> None:
    assert quotas(ours, mounts, {}) == []


def test_an_empty_file_is_no_quota() -> None:
    assert quotas("0::/\n", V2, {f"{ROOT}/cpu.max": ""}) == []


def test_what_cannot_be_read_is_none() -> None:
    assert read_text("/proc/self/no such file") is None
    assert "/" in (read_text(MOUNTS) or "/")


def test_on_this_system_it_can_be_asked() -> None:
    assert all(number >= 1 for number, _ in cpu_quotas())
