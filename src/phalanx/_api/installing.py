"""`install`: programs that ask `multiprocessing` and `concurrent.futures` for a pool get one of ours.

What is replaced are names: in the two libraries, and in each module that has taken them from there already. A class
that was derived from the standard one before stays what it is.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx._api.joblib_backend import Registration

_OWN = "phalanx"

_lock = threading.Lock()
_joblib: list[Registration] = []
_replaced: list[tuple[dict[str, Any], str, Any, Any]] = []
"""The names of a module, which of them, what it stood for, and what for now."""


def install() -> None:
    """Have `multiprocessing.Pool`, `multiprocessing.pool.Pool` and `.ThreadPool`, and
    `concurrent.futures.ProcessPoolExecutor` be those of phalanx, for the whole program: also where other modules have
    imported them already, and in the workers of our pools. joblib, if it is used, runs its processes on phalanx as
    well. Does nothing if that is so.

    `uninstall` puts everything back. ``phalanx run SCRIPT`` runs a program with this in force.

    Example:
        >>> import phalanx, multiprocessing
        >>> phalanx.install()
        >>> with multiprocessing.Pool(2) as pool:
        ...     isinstance(pool, phalanx.Pool), pool.map(abs, [-1, -2])
        (True, [1, 2])
        >>> phalanx.uninstall()
    """
    import concurrent.futures.process
    import multiprocessing.pool

    from phalanx._api.executor import Executor
    from phalanx._api.joblib_backend import Registration
    from phalanx._api.pool import Pool, ThreadPool

    with _lock:
        if _replaced:
            return
        # `multiprocessing.Pool`, and that of every context, look for the class where it is defined.
        standard = {
            multiprocessing.pool.Pool: Pool,
            multiprocessing.pool.ThreadPool: ThreadPool,
            concurrent.futures.ProcessPoolExecutor: Executor,
        }
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", _OWN).partition(".")[0] != _OWN:
                _replace_in(module, standard)
        _joblib.append(Registration())


def uninstall() -> None:
    """Put back what `install` has replaced. Pools that are open go on. Does nothing if nothing was replaced."""
    with _lock:
        while _joblib:
            _joblib.pop().undo()
        while _replaced:
            names, name, before, now = _replaced.pop()
            if names.get(name) is now:
                names[name] = before


def is_installed() -> bool:
    """Whether `install` is in force."""
    return bool(_replaced)


def _replace_in(module: Any, standard: dict[Any, Any]) -> None:
    names: Any = getattr(module, "__dict__", None)
    for name, value in list(names.items()) if type(names) is dict else ():
        if isinstance(value, type) and value in standard:
            _replaced.append((names, name, value, standard[value]))
            names[name] = standard[value]


for _public in (install, uninstall):
    _public.__module__ = "phalanx"
