"""Whether the kernel's out-of-memory killer has run: what tells its SIGKILL from anybody else's.

The kernel counts its victims, in the cgroup that they belonged to and for the whole machine. The nearest
counter is asked: that of our own cgroup, which counts every worker that has not moved elsewhere; where memory
is not accounted there (or it lies outside of what this container sees), that of the next one up; where no
cgroup counts, the machine's. Not all of them: the wider ones rise for strangers too.

A counter only says that it has risen since it was read last. So it is read when workers start, which is also
soon after each death, and when one has died by SIGKILL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic

from phalanx._platform.cgroups import Read, own_hierarchies, read_text

_MACHINE = "/proc/vmstat"
# Those that one shortage has killed are told of one after the other, within milliseconds if the parent was not
# itself slowed down by the shortage. From thin air, on the long side.
_SAME_SHORTAGE = 2.0


class OomKills:
    """Watches the counter that is nearest to this process."""

    def __init__(self, read: Read = read_text, clock: Callable[[], float] = monotonic) -> None:
        self._read = read
        self._clock = clock
        self._path: str | None = None
        self._count = 0
        self._rose_at: float | None = None
        for path in counter_paths(own_hierarchies("memory", read)):
            count = parse_count(read(path) or "")
            if count is not None:
                self._path, self._count = path, count
                break

    def look(self) -> None:
        """Take note of what has happened by now."""
        count = None if self._path is None else parse_count(self._read(self._path) or "")
        if count is not None and count > self._count:
            self._rose_at = self._clock()
        self._count = self._count if count is None else count

    def ran(self) -> bool:
        """Whether it ran since we looked last, or so shortly before that this is the same shortage of memory."""
        self.look()
        return self._rose_at is not None and self._clock() - self._rose_at < _SAME_SHORTAGE


def parse_count(text: str) -> int | None:
    """How many processes were killed, from any of the files that say so."""
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.strip().isdigit():
            return int(count)
    return None


def counter_paths(hierarchies: Iterable[tuple[int, list[str]]]) -> Iterator[str]:
    """Where counters may be, nearest first; from the hierarchies that this process's memory is counted in."""
    for version, directories in hierarchies:
        if version == 1:
            yield f"{directories[0]}/memory.oom_control"
        else:
            yield from (f"{each}/memory.events" for each in directories)
    yield _MACHINE
