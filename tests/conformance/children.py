"""Functions that run in workers and child processes; importable there without the test modules of CPython."""

from __future__ import annotations

import os
import pickle
import sys
import time


def square(x):
    return x * x


def pool_in_process():
    """As the function of this name in `test._test_multiprocessing`, which makes its pool of the standard library."""
    from tests.conformance import subject

    pool = subject.Pool(processes=4)
    assert pool.map(square, [1, 2, 3, 4, 5, 6, 7]) == [1, 4, 9, 16, 25, 36, 49]
    pool.close()
    pool.join()


def pid_after(seconds):
    time.sleep(seconds)
    return os.getpid()


def announce_and_sleep(fifo):
    """Tell the pid through a named pipe, so that the other side knows that this has begun; then stay."""
    with open(fifo, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(300)


def fail_unless_exists(path):
    """An initializer that a test can repair."""
    if not os.path.exists(path):
        raise ValueError("error in initializer")


def leave():
    sys.exit(1)


def fail():
    raise pickle.UnpicklingError("cannot be rebuilt")


class ExitsAtUnpickle:
    def __reduce__(self):
        return leave, ()


class FailsAtUnpickle:
    def __reduce__(self):
        return fail, ()


class FailsAtPickle:
    def __reduce__(self):
        raise pickle.PicklingError("cannot be pickled")
