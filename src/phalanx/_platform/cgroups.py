"""Where the kernel keeps the limits and counters of the cgroups that this process is in.

A process is in one cgroup of version 2 and, by version 1, in one of each hierarchy; a hierarchy of version 1 has
some of the controllers (memory, cpu). Which they are stands in `/proc/self/cgroup`, where they are mounted in
`/proc/self/mountinfo`. What binds a cgroup binds all below it, so parents count too, as far as this process
can see them: a container often sees no further than itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

Read = Callable[[str], str | None]

OURS = "/proc/self/cgroup"
MOUNTS = "/proc/self/mountinfo"


def read_text(path: str) -> str | None:
    """The text of a small file of the kernel's; None if it cannot be had."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return None


def hierarchies(controller: str, cgroups: str, mountinfo: str) -> Iterator[tuple[int, list[str]]]:
    """Version 1 and then 2: its number, and the directories of our cgroup and its parents, nearest first.

    From the texts of `OURS` and `MOUNTS`. `controller`: the hierarchy of version 1 is that of "memory", or "cpu".
    Version 2 comes as well, though it has no files of a controller that version 1 has.
    """
    by_controller, unified = _memberships(controller, cgroups)
    mounts = list(_cgroup_mounts(mountinfo))
    for kind, root, point, options in mounts:
        if kind == "cgroup" and by_controller is not None and controller in options.split(","):
            yield 1, _directories(by_controller, root, point)
    for kind, root, point, _ in mounts:
        if kind == "cgroup2" and unified is not None:
            yield 2, _directories(unified, root, point)


def own_hierarchies(controller: str, read: Read = read_text) -> Iterable[tuple[int, list[str]]]:
    """`hierarchies` of this process, looked up once: one that is moved elsewhere later goes on asking here.

    A new pool asks, and to have the kernel write down all mounts takes longer than the rest of what it asks for.
    """
    if read is read_text:
        return _own_hierarchies(controller, os.getpid())
    return hierarchies(controller, read(OURS) or "", read(MOUNTS) or "")


@lru_cache(maxsize=8)  # a forked child may be in others than its parent
def _own_hierarchies(controller: str, pid: int) -> list[tuple[int, list[str]]]:
    return list(hierarchies(controller, read_text(OURS) or "", read_text(MOUNTS) or ""))


def cpu_quotas(read: Read = read_text) -> Iterator[tuple[int, str]]:
    """How many processors each quota allows, rounded up, and the file that says so."""
    for version, directories in own_hierarchies("cpu", read):
        for directory in directories:
            if version == 1:
                path = f"{directory}/cpu.cfs_quota_us"
                text = f"{read(path) or ''} {read(f'{directory}/cpu.cfs_period_us') or ''}"
            else:
                path = f"{directory}/cpu.max"
                text = read(path) or ""
            number = processors_of(text)
            if number is not None:
                yield number, path


def processors_of(text: str) -> int | None:
    """From quota and period; None where there is no quota: "max" in version 2, -1 in version 1, or no text."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() and int(word) for word in words):
        return None
    quota, period = map(int, words)
    return -(-quota // period)


def _memberships(controller: str, cgroups: str) -> tuple[str | None, str | None]:
    """The cgroup in the hierarchy of version 1 that has the controller, and that of version 2."""
    by_controller = unified = None
    for line in cgroups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            unified = path
        elif controller in controllers.split(","):
            by_controller = path
    return by_controller, unified


def _cgroup_mounts(mountinfo: str) -> Iterator[tuple[str, str, str, str]]:
    """Kind of file system, which cgroup is mounted, where, with which options."""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        left, right = fields.split(" "), rest.split(" ")
        if len(left) > 4 and len(right) > 2 and right[0] in ("cgroup", "cgroup2"):
            # The only characters that are escaped and may well occur.
            yield right[0], left[3], left[4].replace("\\040", " "), right[2]


def _directories(path: str, root: str, point: str) -> list[str]:
    """The cgroup's directory and its parents' up to the mount point; `root` is mounted at `point`."""
    inside = path == root or path.startswith(root.rstrip("/") + "/")
    below = path[len(root.rstrip("/")) :] if inside and "/.." not in path else ""
    names = [name for name in below.split("/") if name]
    return ["/".join([point.rstrip("/"), *names[:depth]]) for depth in range(len(names), -1, -1)]
