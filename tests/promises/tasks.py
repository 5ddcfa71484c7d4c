"""What workers are asked to do in these tests, importable from every kind of worker."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

_files: dict[str, int] = {}


class Record:
    """What workers ran, by themselves: one line in a file for each call. For processes only."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, x: int) -> int:
        if self.path not in _files:
            _files[self.path] = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(_files[self.path], b"%d\n" % x)
        return x * x

    def counts(self) -> Counter[int]:
        """How often each item ran."""
        if not os.path.exists(self.path):
            return Counter()
        with open(self.path, encoding="ascii") as file:
            return Counter(map(int, file))


def echo(data: bytes) -> bytes:
    return data


def grow(size: int) -> bytes:
    return size.to_bytes(4, "big") * (size // 4)


def measure(data: bytes) -> int:
    return len(data)


class Thing:
    """Can be referred to weakly."""

    def __init__(self, number: int) -> None:
        self.number = number


def nap_then_write(path: str, seconds: float) -> None:
    """Leaves a file when it ends."""
    time.sleep(seconds)
    with open(path, "w", encoding="ascii"):
        pass


def wait_until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Whether this becomes true within some time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True
