"""What processes do with locks, in ways that go wrong."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def take_and_die(lock: Any) -> None:
    lock.acquire()
    die()


def wait_and_die_of_it(condition: Any) -> None:
    with condition:
        die()


def die_at_line(lock: Any, number: int) -> None:
    """Acquire and release, and die before the so-and-so-many-th line of that."""
    lines = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        frame.f_trace_opcodes = True
        if event == "opcode" and "_sync" in frame.f_code.co_filename:
            lines += 1
            if lines == number:
                die()
        return trace

    lock.acquire()  # its row is there
    lock.release()
    sys.settrace(trace)
    lock.acquire()
    lock.release()
    sys.settrace(None)


def storm(lock: Any, counter: Any) -> None:
    """Until it is killed."""
    while True:
        with lock:
            counter.value += 1


def count_up(lock: Any, counter: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            value = counter.value
            counter.value = value + 1


_inherited: Any = None


def keep(lock: Any) -> None:
    global _inherited
    _inherited = lock


def use_kept(item: int) -> int:
    with _inherited:
        return item


def take_kept_and_die(_: Any) -> None:
    take_and_die(_inherited)
