"""The counter of the out-of-memory killer's victims is found wherever cgroups are mounted."""

from __future__ import annotations

import pytest

from phalanx._platform.cgroups import hierarchies
from phalanx._platform.oom import OomKills, counter_paths, parse_count

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
"""
HYBRID_MOUNTS = V1_MOUNTS + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
V2_MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 23 0:26 {root} /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""
SLICE = "/user.slice/user-1000.slice/session-3.scope"
V1 = "4:memory:{path}\n1:cpu,cpuacct:/elsewhere\n"
HYBRID = V1 + "1:name=systemd:/x\n0::/y\n"
VMSTAT = ["/proc/vmstat"]


def v2_files(*directories: str) -> list[str]:
    return [f"/sys/fs/cgroup{each}/memory.events" for each in directories]


@pytest.mark.parametrize(
    ("cgroups", "mounts", "expected"),
    [
        pytest.param(
            f"0::{SLICE}\n",
            V2_MOUNTS.format(root="/"),
            v2_files(SLICE, "/user.slice/user-1000.slice", "/user.slice", ""),
            id="version 2, in a slice",
        ),
        pytest.param("0::/\n", V2_MOUNTS.format(root="/"), v2_files(""), id="container with a namespace"),
        pytest.param(
            "0::/docker/abc/inner\n",
            V2_MOUNTS.format(root="/docker/abc"),
            v2_files("/inner", ""),
            id="container without a namespace of its own",
        ),
        pytest.param(
            "0::/../other\n", V2_MOUNTS.format(root="/"), v2_files(""), id="moved out of what is seen"
        ),
        pytest.param(
            "0::/docker/abcd\n",
            V2_MOUNTS.format(root="/docker/abc"),
            v2_files(""),
            id="a name that only begins alike",
        ),
        pytest.param(
            V1.format(path="/docker/abc"),
            V1_MOUNTS.format(root="/docker/abc"),
            ["/sys/fs/cgroup/memory/memory.oom_control"],
            id="version 1, container",
        ),
        pytest.param(
            V1.format(path=SLICE),
            V1_MOUNTS.format(root="/"),
            [f"/sys/fs/cgroup/memory{SLICE}/memory.oom_control"],
            id="version 1, in a slice",
        ),
        pytest.param(
            HYBRID.format(path="/jobs/7"),
            HYBRID_MOUNTS.format(root="/"),
            [
                "/sys/fs/cgroup/memory/jobs/7/memory.oom_control",
                "/sys/fs/cgroup/unified/y/memory.events",
                "/sys/fs/cgroup/unified/memory.events",
            ],
            id="hybrid",
        ),
        pytest.param(
            "0::/a\n",
            V2_MOUNTS.format(root="/").replace("/sys/fs/cgroup", "/mnt/my\\040groups"),
            ["/mnt/my groups/a/memory.events", "/mnt/my groups/memory.events"],
            id="a mount point with a space",
        ),
        pytest.param("", "", [], id="no such files"),
        pytest.param("0::/a\n", "", [], id="not mounted"),
        pytest.param("garbage\n:::\n", "garbage\n - \n - cgroup2\n", [], id="not understood"),
    ],
)
def test_counters_are_looked_for_from_the_nearest_outwards(
    cgroups: str, mounts: str, expected: list[str]
) -> None:
    assert list(counter_paths(hierarchies("memory", cgroups, mounts))) == expected + VMSTAT


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 1\n", 3),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4),
        ("nr_free_pages 55\noom_kill 0\n", 0),
        ("oom_kill_disable 0\nunder_oom 0\n", None),
        ("oom_kill many\n", None),
        ("", None),
    ],
)
def test_counts_are_read_from_each_kind_of_file(text: str, count: int | None) -> None:
    assert parse_count(text) == count


class Files(dict[str, str]):
    """A file system, and a clock that stands still until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self["/proc/self/cgroup"] = "0::/a/b\n"
        self["/proc/self/mountinfo"] = V2_MOUNTS.format(root="/")
        self.now = 100.0

    def count(self, directory: str, number: int) -> None:
        self[f"/sys/fs/cgroup{directory}/memory.events"] = f"oom 9\noom_kill {number}\n"

    def kills(self) -> OomKills:
        return OomKills(self.get, lambda: self.now)


def test_a_counter_that_rises_says_that_it_ran() -> None:
    files = Files()
    files.count("/a/b", 7)
    kills = files.kills()
    assert not kills.ran(), "that was before"
    files.count("/a/b", 8)
    assert kills.ran()
    assert kills.ran(), "several that died of the same shortage"
    files.now += 60
    assert not kills.ran()


def test_what_was_noticed_while_nobody_asked_is_not_told_of_a_later_death() -> None:
    files = Files()
    files.count("/a/b", 7)
    kills = files.kills()
    files.count("/a/b", 8)
    kills.look()
    files.now += 60
    assert not kills.ran()


def test_the_nearest_that_counts_is_asked_and_strangers_are_not_minded() -> None:
    files = Files()
    files.count("/a", 1)
    files["/proc/vmstat"] = "oom_kill 1\n"
    kills = files.kills()
    files["/proc/vmstat"] = "oom_kill 2\n"
    assert not kills.ran()
    files.count("/a", 2)
    assert kills.ran()


def test_without_cgroups_the_machine_is_asked() -> None:
    files = Files()
    files["/proc/vmstat"] = "oom_kill 1\n"
    kills = files.kills()
    files["/proc/vmstat"] = "oom_kill 2\n"
    assert kills.ran()


def test_where_nothing_counts_nothing_is_said() -> None:
    kills = OomKills({}.get)
    kills.look()
    assert not kills.ran()


def test_a_counter_that_goes_away_says_nothing_and_one_that_starts_anew_is_believed() -> None:
    files = Files()
    files.count("/a/b", 7)
    kills = files.kills()
    del files["/sys/fs/cgroup/a/b/memory.events"]
    assert not kills.ran()
    files.count("/a/b", 0)
    assert not kills.ran()
    files.count("/a/b", 1)
    assert kills.ran()


def test_on_this_system_it_can_be_asked() -> None:
    assert not OomKills().ran()
