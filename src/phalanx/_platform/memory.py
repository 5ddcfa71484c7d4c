"""How much memory a process has, and how much is left for all."""

from __future__ import annotations

import os

from phalanx._platform.cgroups import Read, own_hierarchies, read_text

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MEMINFO = "/proc/meminfo"
_OWN_OF_BLOCK = ("Anonymous:",)
_PRIVATE: tuple[str, ...] = ("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")
# What the kernel calls our blocks of shared memory, in lists of what a process has mapped.
BLOCK_NAME = "phalanx-block"
# A thirty-second of what there is, at most 500 MB: about where desktops' out-of-memory daemons begin to act
# (systemd-oomd and earlyoom: 5 to 10 per cent, which is more on large machines than anybody has to keep free).
_FLOOR_PART = 32
_HIGHEST_FLOOR = 500_000_000
# By version of cgroups: the limits (above `memory.high` there is no killing, but everything slows down until
# there is less), what is in use, and what of that the kernel gives back before it lets anybody feel a limit.
_FILES = {
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
}
# More than any machine has. Version 1 says about this where there is no limit.
_UNLIMITED = 1 << 63


def weigh(pid: int, enough: int) -> int | None:
    """Bytes of memory that would be free if the process ended; None if it is gone.

    A forked worker shares memory with its parent that is not its own, but to tell the two apart takes 4 ms for
    each gigabyte (measured). So if all it has together is not more than `enough`, that is the answer.
    """
    everything = resident(pid)
    if everything is None or everything <= enough:
        return everything
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            private = private_of(file.read())
        if private <= enough:
            return private
        # Blocks have no owner: what it has lent is in use elsewhere. Only the long list tells them from the rest.
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
            return private_of(file.read())
    except ProcessLookupError:
        return None
    except OSError:  # an old kernel, or a system without it
        return everything


def private_of(text: str) -> int:
    """What belongs to the process alone, from the text of ``/proc/PID/smaps`` or ``smaps_rollup``.

    Of a block of shared memory these are the pages that it has written to through a mapping of its own.
    """
    total, counted = 0, _PRIVATE
    for line in text.splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            counted = _OWN_OF_BLOCK if BLOCK_NAME in line else _PRIVATE
        elif name in counted:
            total += int(rest[0]) * 1024
    return total


def resident(pid: int) -> int | None:
    """Bytes of memory that the process has in use, shared ones included; None if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except FileNotFoundError:
        return _psutil_resident(pid)
    except ProcessLookupError:
        return None


def memory_floor() -> int:
    """Bytes below which no new item shall start: a part of all there is, for the kernel and everybody else."""
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE if hasattr(os, "sysconf") else 0
    return floor_of(_our_cgroups().least_limit(total))


def floor_of(total: int) -> int:
    """The same, where there are so many bytes of memory at all."""
    return min(total // _FLOOR_PART, _HIGHEST_FLOOR)


def available() -> int | None:
    """Bytes that can still be used without swapping, of the machine or of our container, whichever has less."""
    text = read_text(_MEMINFO)
    if text is None:
        import psutil

        return int(psutil.virtual_memory().available)
    free = available_of(text)
    return None if free is None else _our_cgroups().least_left(free)


def available_of(text: str) -> int | None:
    """What the machine has, from the text of ``/proc/meminfo``."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


class CgroupMemory:
    """What the cgroups that this process is in may use, and what is left of that.

    They are looked up once; a process that is moved to other ones later goes on asking these.
    """

    def __init__(self, read: Read = read_text) -> None:
        self._read = read
        self._levels = [
            (limits, f"{directory}/{used}", f"{directory}/memory.stat", spare)
            for version, directories in own_hierarchies("memory", read)
            for names, used, spare in (_FILES[version],)
            for directory in directories
            if (limits := [path for name in names if read(path := f"{directory}/{name}") is not None])
        ]

    def least_limit(self, total: int) -> int:
        """The least of `total` and all limits."""
        return min([total, *(self._limit(limits) for limits, *_ in self._levels)])

    def least_left(self, free: int) -> int:
        """The least of `free` and what each limit leaves."""
        for limits, used, stat, spare in self._levels:
            left = self._limit(limits) - int(self._read(used) or 0)
            # Only now: this file is made when it is read, in version 2 from the counters of all processors.
            if left < free:
                left += entry(self._read(stat) or "", spare)
            free = min(free, max(left, 0))
        return free

    def _limit(self, paths: list[str]) -> int:
        texts = [(self._read(path) or "").strip() for path in paths]
        return min((int(text) for text in texts if text.isdigit()), default=_UNLIMITED)


_found: tuple[int, CgroupMemory] | None = None


def _our_cgroups() -> CgroupMemory:
    """Found once for each process: a forked child may be in others."""
    global _found
    pid, found = os.getpid(), _found
    if found is None or found[0] != pid:
        _found = found = pid, CgroupMemory()
    return found[1]


def entry(text: str, name: str) -> int:
    """The number that stands behind the name in the text of a ``memory.stat``; 0 if it is not there."""
    for line in text.splitlines():
        key, _, number = line.partition(" ")
        if key == name:
            return int(number)
    return 0


def _psutil_resident(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return None
