"""What the workers of the demo do. Importable by name, whatever the start method."""

from __future__ import annotations

import os
import threading

WAIT = 0.02  # seconds; what a fast server takes to answer

_calls = 0
_calls_lock = threading.Lock()


def primes_between(start: int, stop: int) -> int:
    """How many primes there are from `start` to before `stop`: arithmetic only, so CPU-bound."""
    found = 0
    for number in range(max(start, 2), stop):
        for divisor in range(2, int(number**0.5) + 1):
            if number % divisor == 0:
                break
        else:
            found += 1
    return found


def wait_for_answer(request: int) -> int:
    """Stands for a request to a server: no arithmetic, only waiting, so I/O-bound."""
    threading.Event().wait(WAIT)
    return request


def count_calls(_: int) -> int:
    """Counts in this process's memory, and says so after waiting long enough for others to have a turn."""
    global _calls
    with _calls_lock:
        _calls += 1
    return _calls


def calls_counted() -> int:
    """How many calls of `count_calls` this process has seen."""
    return _calls


def name_process(_: int) -> int:
    """Which process am I? Takes a millisecond, so that no worker can do everything alone."""
    threading.Event().wait(0.001)
    return os.getpid()
