"""Tasks that tell what they find around them."""

from __future__ import annotations

import locale
import os
import threading
import warnings
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import phalanx

VARIABLE: ContextVar[Any] = ContextVar("VARIABLE", default=None)


def facts() -> dict[str, Any]:
    with warnings.catch_warnings(record=True):
        try:
            warnings.warn("bytes", BytesWarning, stacklevel=1)
            raises = False
        except BytesWarning:
            raises = True
    return {
        "directory": os.getcwd(),
        "comes": os.environ.get("COMES"),
        "goes": os.environ.get("GOES"),
        "raises": raises,
        "locale": locale.setlocale(locale.LC_NUMERIC),
        "variable": VARIABLE.get(),
    }


def facts_of(_: object) -> dict[str, Any]:
    return facts()


def kind(thing: object) -> str:
    return type(thing).__name__


def get_and_set(value: int) -> Any:
    """What the task before has set is not seen."""
    found = VARIABLE.get()
    VARIABLE.set(value)
    return found


def slot() -> int | None:
    return phalanx.worker.slot


def pass_through(door: Path) -> None:
    door.read_text()


def keep_device() -> None:
    phalanx.worker.state["device"] = os.environ["DEVICE"]


def device_and_slot(_: object) -> Any:
    return phalanx.worker.state["device"], os.environ["DEVICE"], phalanx.worker.slot


def threads(_: object) -> Any:
    import numpy as np  # loads its library, where it was not inherited
    import threadpoolctl

    assert np
    used = [each["num_threads"] for each in threadpoolctl.threadpool_info()]
    return used, (os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS"))


def threads_of_all_kinds(_: object) -> dict[str, Any]:
    import threadpoolctl

    return {
        "of the system": len(os.listdir("/proc/self/task")),
        "of Python": threading.active_count(),
        "that may be used": [each["num_threads"] for each in threadpoolctl.threadpool_info()],
    }
