"""What workers ran and who was killed when: read afterwards, to find what was repeated without need.

Workers append records of fixed size to one file. An append of few bytes is whole or not there at all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from struct import Struct
from time import monotonic_ns

_RECORD = Struct("<QQQ")  # item, process, nanoseconds of the monotonic clock at its end

# README: what a worker has finished in the last 50 ms before its death may be done again. Twice that is no excuse
# for a busy machine (a record is written before the item has ended), three times that is.
_PROMISE_NS = 150_000_000


class Ledger:
    """The records of one round."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def note(self, item: int) -> None:
        """In a worker, as the last thing that an item does."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, _RECORD.pack(item, os.getpid(), monotonic_ns()))
        finally:
            os.close(descriptor)

    def repeated(self, kills: dict[int, int]) -> tuple[int, int]:
        """Items that ran to their end more than once: (within the promise, beyond it).

        `kills`: when each process was killed, by the monotonic clock.
        """
        runs: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for item, process, ended in _RECORD.iter_unpack(Path(self.path).read_bytes()):
            runs[item].append((ended, process))
        within = beyond = 0
        for each in runs.values():
            for ended, process in sorted(each)[:-1]:
                killed = kills.get(process)
                if killed is not None and killed - ended < _PROMISE_NS:
                    within += 1
                else:
                    beyond += 1
        return within, beyond
