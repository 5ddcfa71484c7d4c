"""Which of CPython's test modules this interpreter has; many installations leave some or all of them out."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

POOLS = "test._test_multiprocessing"
FUTURES = "test.test_concurrent_futures"
MAINS = "test.test_multiprocessing_main_handling"


def has(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def has_futures() -> bool:
    """Before 3.12 the tests of futures were one file, not a package: only the package is used here."""
    return has(f"{FUTURES}.util")


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def futures_module(name: str) -> ModuleType:
    return module(f"{FUTURES}.{name}")
