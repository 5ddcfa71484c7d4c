"""What workers are asked to do in tests of timeouts, retries and limits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Marker:
    """Counts how often something happened, across processes: one byte in a file each time."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def mark(self) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, b"x")
        finally:
            os.close(descriptor)
        return self.count()

    def count(self) -> int:
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0


def sleep_at_seven(x: int) -> int:
    if x == 7:
        time.sleep(60)
    return x * x


def compute_in_c_at_seven(x: int) -> int:
    """Holds the interpreter's lock."""
    if x == 7:
        sum(range(10**12))
    return x * x


def start_a_program(marker: Marker) -> None:
    """Leaves the number of a grandchild's process and never ends."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(marker.path).write_text(str(child.pid))
    child.wait()


class Flaky:
    """Raises until it has been called so often for an item."""

    def __init__(self, folder: Path, failures: int, kind: type[BaseException] = ConnectionError) -> None:
        self.folder = folder
        self.failures = failures
        self.kind = kind

    def calls(self, x: int) -> int:
        return Marker(self.folder / str(x)).count()

    def __call__(self, x: int) -> int:
        if Marker(self.folder / str(x)).mark() <= self.failures:
            raise self.kind(f"no luck with {x}")
        return x * x


class Crashing:
    """Kills its worker until it has been called so often for the item 7."""

    def __init__(self, folder: Path, crashes: int) -> None:
        self.marker = Marker(folder / "crashes")
        self.crashes = crashes

    def __call__(self, x: int) -> int:
        if x == 7 and self.marker.mark() <= self.crashes:
            os._exit(3)
        return x * x


KEPT: list[Any] = []


def keep(megabytes: int) -> int:
    """A leak: what is made here stays."""
    KEPT.append(b"x" * (megabytes * 1_000_000))
    return os.getpid()


def fill_at_seven(x: int) -> int:
    held = []
    while x == 7:
        held.append(b"x" * 10_000_000)
        time.sleep(0.002)
    return x


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def sum_up(marker: Marker, count: int) -> int:
    """In C, once it has left a mark."""
    marker.mark()
    return sum(range(count))
