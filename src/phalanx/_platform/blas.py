"""Threads of numerical libraries in workers: as many as a worker has processors, or together they have too many.

A library reads its variable when it is loaded, which in a forked worker has mostly happened; those that are there are
told by threadpoolctl. Sources: threadpoolctl's list of libraries; the manuals of NumExpr and Apple's Accelerate.
"""

from __future__ import annotations

import os
import sys
from typing import Any

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# What brings such a library with it. To look through all loaded libraries takes half a millisecond and more, to look
# here nothing; and one look is enough until a module has been imported.
_BRINGERS = ("numpy", "scipy", "torch", "numexpr", "sklearn", "mkl")


class ThreadLimit:
    """How many threads the libraries of a worker may use. Made by its parent, put in force by the worker."""

    def __init__(self, threads: int, is_asked_for: bool) -> None:
        """`is_asked_for`: it stands above what the environment says, and is no mere upper bound."""
        self._threads = threads
        self._is_asked_for = is_asked_for
        self.environment = {
            name: str(threads) for name in VARIABLES if is_asked_for or name not in os.environ
        }
        self._found = _look() if self.environment else None

    def __reduce__(self) -> Any:
        # What a new interpreter loads reads its environment, which comes first.
        return ThreadLimit, (self._threads, self._is_asked_for)

    def apply(self) -> None:
        """In the worker, or in the process that it is forked from."""
        # Not `update`, which asks abstract base classes: in a forked worker, pages of memory to be copied.
        for name, value in self.environment.items():
            os.environ[name] = value
        for each in () if self._found is None else self._found.lib_controllers:
            if self._is_asked_for or (each.num_threads or 0) > self._threads:
                each.set_num_threads(self._threads)


_seen: tuple[int, Any] = 0, None
"""How many modules there were at the last look, and what was found."""


def _look() -> Any:
    """The libraries that are loaded, if any are."""
    global _seen
    if not any(name in sys.modules for name in _BRINGERS):
        return None
    from threadpoolctl import ThreadpoolController

    modules, found = _seen
    if modules != len(sys.modules):
        modules = len(sys.modules)
        _seen = modules, (found := ThreadpoolController())
    return found
