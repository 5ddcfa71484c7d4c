"""`multiprocessing` as it should be: the same names, and `map`, `stream` and `Executor`, on one engine.

`import phalanx as multiprocessing` is the only line that a program changes. Names are loaded on first use.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx._api.contexts import Barrier, Condition, Event, Lock, RLock, get_context
    from phalanx._api.executor import Executor
    from phalanx._api.functions import map, stream
    from phalanx._api.future import Future
    from phalanx._api.installing import install, uninstall
    from phalanx._api.managing import Manager
    from phalanx._api.pool import Pool
    from phalanx._api.process import Process
    from phalanx._api.sizes import cpu_budget
    from phalanx._base.budget import CpuBudget
    from phalanx._base.statistics import Stats
    from phalanx._base.status import WorkerStatus
    from phalanx._memory.arrays import array, empty, zeros
    from phalanx._memory.shared import Shared, share
    from phalanx._worker.here import worker

__version__ = "0.1.0"

# Names of ours, and where they live. All others that `multiprocessing` has are its own.
_OURS = {
    "CpuBudget": "phalanx._base.budget",
    "Executor": "phalanx._api.executor",
    "Future": "phalanx._api.future",
    "Manager": "phalanx._api.managing",
    "Pool": "phalanx._api.pool",
    "Process": "phalanx._api.process",
    "Shared": "phalanx._memory.shared",
    "Stats": "phalanx._base.statistics",
    "WorkerStatus": "phalanx._base.status",
    "cpu_budget": "phalanx._api.sizes",
    "array": "phalanx._memory.arrays",
    "empty": "phalanx._memory.arrays",
    "get_context": "phalanx._api.contexts",
    "RLock": "phalanx._api.contexts",
    "Lock": "phalanx._api.contexts",
    "Event": "phalanx._api.contexts",
    "Condition": "phalanx._api.contexts",
    "Barrier": "phalanx._api.contexts",
    "install": "phalanx._api.installing",
    "map": "phalanx._api.functions",
    "share": "phalanx._memory.shared",
    "stream": "phalanx._api.functions",
    "uninstall": "phalanx._api.installing",
    "worker": "phalanx._worker.here",
    "zeros": "phalanx._memory.arrays",
}

# Public modules that are there without being imported: ours, and those of `multiprocessing`, each in a file of its
# own so that `import` and tools find it.
_MODULES = (
    *("errors", "futures", "managers", "pool"),
    "connection",
    "context",
    "dummy",
    "forkserver",
    "heap",
    "popen_fork",
    "popen_forkserver",
    "popen_spawn_posix",
    "process",
    "queues",
    "reduction",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "spawn",
    "synchronize",
    "util",
)

__all__ = [
    "Barrier",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "CpuBudget",
    "Executor",
    "Future",
    "Manager",
    "Pool",
    "Process",
    "Shared",
    "Stats",
    "WorkerStatus",
    "array",
    "cpu_budget",
    "empty",
    "get_context",
    "install",
    "map",
    "share",
    "stream",
    "uninstall",
    "worker",
    "zeros",
]


def __getattr__(name: str) -> Any:
    if name in _OURS:
        value = getattr(importlib.import_module(_OURS[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    import multiprocessing

    if name in multiprocessing.__all__:
        return getattr(multiprocessing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    import multiprocessing

    return sorted({*globals(), *__all__, *_MODULES, *multiprocessing.__all__})


if getattr(sys, "frozen", False):
    from phalanx._platform.frozen import become_what_was_started

    become_what_was_started(__spec__)
