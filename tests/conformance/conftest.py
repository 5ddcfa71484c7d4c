"""Surroundings that CPython's tests expect, in force only in this folder."""

from __future__ import annotations

import io
import logging
import multiprocessing
import pathlib
import resource
import signal
import sys
import types
from multiprocessing import forkserver

import pytest

from tests.leaks import Snapshot, left_behind


def pytest_collection_modifyitems(items):
    for item in items:
        if not _is_here(item):
            continue
        # They fork with threads about and leave pools to the collector; a warning of that is not a failure.
        for category in ("DeprecationWarning", "ResourceWarning"):
            item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))


def _is_here(item):
    return item.path.parent == pathlib.Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def start_method_of_module(request):
    """The default start method, as CPython's own modules per start method set it."""
    method = getattr(request.module, "START_METHOD", None)
    if method is None:
        yield
        return
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    # Each spawned process would import the main module, which is pytest: half a second, a thousand times.
    main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    yield
    sys.modules["__main__"] = main
    multiprocessing.set_start_method(before, force=True)
    forkserver._forkserver._stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After a test has timed out, its pool may hang in tearDown too: the timer of pytest-timeout goes on."""
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if left and _is_here(item):
        signal.setitimer(signal.ITIMER_REAL, left, 10.0)
    try:
        return (yield)
    finally:
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        if interval:
            signal.setitimer(signal.ITIMER_REAL, left)


@pytest.fixture(autouse=True)
def errors_of_callbacks_on_stderr():
    """Where the logger of `concurrent.futures` writes when nothing is configured; pytest has configured something."""
    logger = logging.getLogger("concurrent.futures")
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [logging._StderrHandler(logging.WARNING)], False
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture(autouse=True, scope="session")
def no_core_files():
    """Some tests make workers crash."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture(autouse=True, scope="class")
def nothing_left_behind():
    """The leak check of all tests, once per class: some classes share a pool.  And CPython's own account of leaks."""
    support = sys.modules["test.support"] if "test.support" in sys.modules else None
    account = io.StringIO()
    if support is not None:
        support.environment_altered = False
        support.print_warning.orig_stderr = account
    before = Snapshot.take()
    yield
    left = left_behind(before)
    if support is not None and support.environment_altered:
        left.append(f"by CPython's own account: {account.getvalue()}")
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
