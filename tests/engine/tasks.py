"""What workers run in these tests. A module, so that workers of every start method can import it."""

from __future__ import annotations

import os
import select
from collections import Counter
from pathlib import Path
from typing import Any


class Ledger:
    """A file in which every worker writes down each item that it executes, by one atomic append."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()

    def note(self, item: int) -> int:
        """Execute an item: write it down, and return it."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, b"%d\n" % item)
        os.close(descriptor)
        return item

    def boxed(self, item: int) -> Box:
        """The same with a result that is rebuilt by code of its own."""
        return Box(self.note(item))

    def counts(self) -> Counter[int]:
        """How often each item was executed."""
        with open(self.path, encoding="ascii") as lines:
            return Counter(map(int, lines))


class Box:
    """A value that is not plain: it travels by itself and is rebuilt in Python."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return Box, (self.value,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


def same(item: Any) -> Any:
    return item


def square(item: int) -> int:
    return item * item


def hold(descriptor: int, item: Any = None) -> Any:
    """A long item: until `descriptor` can be read, at most ten seconds."""
    select.select([descriptor], [], [], 10)
    return item


def hold_first(descriptor: int, item: int) -> int:
    """Only item 0 is long."""
    return int(hold(descriptor, item)) if item == 0 else item
