"""Ways and moments to die, for workers in tests."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.promises.supervised import Marker


def by_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()  # it may come to another thread first


WAYS: dict[str, Callable[[], object]] = {
    "SIGKILL": lambda: by_signal(signal.SIGKILL),
    "SIGTERM": lambda: by_signal(signal.SIGTERM),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "_exit": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(3),
}
WORDS = {
    "SIGKILL": "SIGKILL",
    "SIGTERM": "SIGTERM",
    "segfault": "SIGSEGV",
    "abort": "SIGABRT",
    "_exit": "exit code 3",
    "sys.exit": "exit code 3",
}


def die(way: str) -> None:
    WAYS[way]()


class Poison:
    """An item among others. Kills the worker that meets it, at its moment, in its way."""

    def __init__(self, moment: str, way: str) -> None:
        self.moment = moment
        self.way = way

    def __reduce__(self) -> Any:
        return (brew if self.moment == "unpickling" else Poison), (self.moment, self.way)

    def act(self) -> Any:
        """Run as an item."""
        if self.moment == "running":
            die(self.way)
        elif self.moment == "pickling":
            return Poisonous(self.way)
        elif self.moment == "writing":
            cut_the_next_write(self.way)
            return b"x" * 3_000_000
        elif self.moment == "idle":
            threading.Timer(0.05, die, (self.way,)).start()
        return 25 * 25


def brew(moment: str, way: str) -> Any:
    die(way)


class Poisonous:
    """A result that kills the worker that pickles it."""

    def __init__(self, way: str) -> None:
        self.way = way

    def __reduce__(self) -> Any:
        die(self.way)
        raise AssertionError("still alive")


def cut_the_next_write(way: str) -> None:
    """Have the worker die when half of what it sends next has gone."""
    outlets = [each for each in gc.get_objects() if type(each).__name__ == "Outlet"]

    def send_half(frame: Any) -> None:
        real(frame[: len(frame) // 2])
        die(way)

    [outlet] = outlets
    real = outlet._send
    outlet._send = send_half


def work(item: Any) -> Any:
    return item.act() if isinstance(item, Poison) else item * item


def start(marker: Marker, way: str) -> None:
    """An initializer that kills the first worker that calls it."""
    marker.mark()
    try:
        os.close(os.open(f"{marker.path}-first", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    die(way)
