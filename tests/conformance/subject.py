"""What is being tested: this library, or (to prove the harness) the standard one."""

from __future__ import annotations

import os
import re
from typing import Any

BASELINE = os.environ.get("PHALANX_CONFORMANCE_BASELINE", "0") not in ("", "0")
RUN_EXCLUDED = BASELINE or os.environ.get("PHALANX_CONFORMANCE_ALL", "0") not in ("", "0")

if BASELINE:
    import multiprocessing as library
    from concurrent.futures import Future
    from concurrent.futures import ProcessPoolExecutor as Executor
    from concurrent.futures import ThreadPoolExecutor as ThreadExecutor
    from multiprocessing.managers import SyncManager
    from multiprocessing.pool import ThreadPool

    EXECUTORS = {
        "ProcessPoolExecutor": "from concurrent.futures import ProcessPoolExecutor",
        "ThreadPoolExecutor": "from concurrent.futures import ThreadPoolExecutor",
    }
else:
    import phalanx as library
    from phalanx import Executor, Future
    from phalanx.managers import SyncManager
    from phalanx.pool import ThreadPool

    def ThreadExecutor(*args: Any, **kwargs: Any) -> Executor:
        return Executor(*args, backend="threads", **kwargs)

    EXECUTORS = {
        "Executor": "from phalanx import Executor",
        "ThreadExecutor": "import functools, phalanx; "
        "ThreadExecutor = functools.partial(phalanx.Executor, backend='threads')",
    }

Pool = library.Pool
Manager = library.Manager


def rewritten(source: str) -> str:
    """The source of a script of CPython's tests, with its imports naming what is being tested.

    One of those scripts uses `multiprocessing` without importing it, so that is imported along.
    """
    name = library.__name__
    source, pools = re.subn(
        r"(?m)^( *)from multiprocessing import (?=.*\bPool\b)", rf"\1from {name} import ", source
    )
    source, modules = re.subn(
        r"(?m)^( *)import multiprocessing$", rf"\1import {name} as multiprocessing", source
    )
    source, executors = re.subn(
        r"(?m)^( *)from concurrent\.futures import (\w+)$",
        lambda found: f"{found[1]}import multiprocessing; {EXECUTORS[found[2]]}",
        source,
    )
    if not pools + modules + executors:
        raise AssertionError(f"nothing in this script names what is being tested:\n{source}")
    return source
