"""What workers are asked to do in these tests, importable from every kind of worker."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Any

STATE: list[Any] = []


def square(x: int) -> int:
    return x * x


def add(x: int, y: int = 0, z: int = 0) -> int:
    return x + y + z


def collect(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def pid(_: Any = None) -> int:
    return os.getpid()


def thread_name(_: Any = None) -> str:
    return threading.current_thread().name


def start_method_of(_: Any = None) -> str:
    return type(multiprocessing.current_process()).__name__


def fail(x: Any) -> Any:
    raise ValueError(x)


def fail_on(bad: int, x: int) -> int:
    if x == bad:
        raise ValueError(f"bad {x}")
    return x


def fail_on_three(x: int) -> int:
    return fail_on(3, x)


def leave(code: int) -> None:
    sys.exit(code)


def die(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_on_three(x: int) -> int:
    if x == 3:
        die()
    return x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def make_lock(_: Any = None) -> Any:
    return threading.Lock()


def remember(*values: Any) -> None:
    """An initializer."""
    STATE[:] = values


def recall(_: Any = None) -> list[Any]:
    return list(STATE)


def refuse(path: str) -> None:
    """An initializer that fails, and leaves a trace of each attempt."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    raise ValueError("no start today")


def refuse_while(path: str, obstacle: str) -> None:
    """An initializer that fails as long as there is an obstacle."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    if os.path.exists(obstacle):
        raise ValueError("an obstacle")


class Door:
    """Holds tasks back until the test opens it; knows when somebody stands before it. Travels by its path."""

    def __init__(self, folder: Any) -> None:
        self.path = str(folder)

    def open(self) -> None:
        with open(os.path.join(self.path, "open"), "w", encoding="utf-8"):
            pass

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *exc: object) -> None:
        """Inside a pool's own `with`: a test that fails must not leave the pool waiting for ever."""
        self.open()

    def pass_through(self, x: Any = None) -> Any:
        with open(os.path.join(self.path, f"here-{x}"), "w", encoding="utf-8"):
            pass
        while not os.path.exists(os.path.join(self.path, "open")):
            time.sleep(0.002)
        return x

    def wait_until_somebody_is_there(self, x: Any = None) -> None:
        until = time.monotonic() + 20
        while not os.path.exists(os.path.join(self.path, f"here-{x}")):
            assert time.monotonic() < until
            time.sleep(0.002)

    def who_came(self) -> set[str]:
        return {name[5:] for name in os.listdir(self.path) if name.startswith("here-")}


class Odd(Exception):
    """Cannot be rebuilt: its `__init__` wants more than it passes on."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_odd(_: Any = None) -> None:
    raise Odd(1, 2)


class Unreadable:
    """Travels back well and cannot be rebuilt by the parent."""

    def __reduce__(self) -> Any:
        return _rebuild_only_in, (os.getppid(),)


def _rebuild_only_in(parent: int) -> None:
    raise RuntimeError(f"not in {parent}")


def make_unreadable(_: Any = None) -> Unreadable:
    return Unreadable()
