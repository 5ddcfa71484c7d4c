"""`test._test_multiprocessing`: the classes about pools and processes, for our `Pool`, `ThreadPool` and `Process`.

A module of its own, and importable by workers: some tests send methods of their own class.
"""

from __future__ import annotations

import multiprocessing
import sys
import unittest
from unittest import mock

import pytest

from tests.conformance import attach, children, installed, subject
from tests.conformance.exclusions import conforming
from tests.conformance.pool_exclusions import INVERSES, ROWS

METHODS = ("fork", "forkserver", "spawn")


def _pool_classes(method: str) -> dict[str, type]:
    """The classes for one start method, by name."""
    tests = installed.module(installed.POOLS)
    patches = attach.pools_of(tests)

    class Processes(tests.ProcessesMixin):
        Pool = staticmethod(subject.Pool)
        Process = subject.library.Process
        Lock = staticmethod(subject.library.Lock)
        RLock = staticmethod(subject.library.RLock)
        Condition = staticmethod(subject.library.Condition)
        Event = staticmethod(subject.library.Event)
        Barrier = staticmethod(subject.library.Barrier)

    class Manager(tests.ManagerMixin):
        pass

    title = method.capitalize()
    classes = {}

    def add(suite, kind, *bases, only=None, **attributes):
        name = f"{title}{kind.capitalize()}{suite.__name__.removeprefix('_').removeprefix('Test')}Test"
        classes[name] = conforming(
            name, __name__, suite, bases, (method, kind), ROWS, INVERSES.get(suite.__name__), only,
            patches=patches, **attributes,
        )  # fmt: skip

    add(tests._TestPool, "processes", Processes, unittest.TestCase)
    add(tests._TestPool, "manager", Manager, unittest.TestCase)
    # Each process that the server forks imports this module, and all of CPython's: once is enough.
    marks = [pytest.mark.slow] if method == "forkserver" else []
    add(tests._TestProcess, "processes", Processes, unittest.TestCase, pytestmark=marks)
    add(tests._TestSubclassingProcess, "processes", Processes, unittest.TestCase, pytestmark=marks)
    # What they test does not depend on how processes are started; how locks get there is tested in tests/sync.
    for suite in (tests._TestLock, tests._TestCondition, tests._TestEvent, tests._TestBarrier):
        if method == "fork":
            add(suite, "processes", Processes, unittest.TestCase)
    add(tests._TestPoolWorkerErrors, "processes", Processes, unittest.TestCase)
    add(tests._TestPoolWorkerLifetime, "processes", Processes, unittest.TestCase)
    add(tests.TestInitializers, "", only=["test_pool_initializer"])
    add(
        tests.TestStdinBadfiledescriptor,
        "",
        only=["test_pool_in_process"],
        test_pool_in_process=_pool_in_process,
    )
    add(tests.TestSyncManagerTypes, "", only=["test_pool"], manager_class=subject.SyncManager)
    add(tests.TestPoolNotLeakOnFailure, "")
    if hasattr(tests.MiscTestCase, "test_large_pool"):
        add(tests.MiscTestCase, "", only=["test_large_pool"])
    return classes


def _pool_in_process(self) -> None:
    """As the original, which does not look at how the child ended."""
    process = multiprocessing.Process(target=children.pool_in_process)
    process.start()
    process.join()
    self.assertEqual(process.exitcode, 0)


def _thread_pool_classes() -> dict[str, type]:
    """`ThreadPool` has no start method: once is enough."""
    tests = installed.module(installed.POOLS)

    class Threads(tests.ThreadsMixin):
        Pool = staticmethod(subject.ThreadPool)

    patches = attach.pools_of(tests)
    if sys.version_info < (3, 13):
        # test_terminate leaves threads that sleep this long (five minutes) and counts on none having begun.
        patches.append(lambda: mock.patch.object(tests.support, "LONG_TIMEOUT", 1.0))
    name = "ThreadsPoolTest"
    suite = tests._TestPool
    return {
        name: conforming(
            name, __name__, suite, (Threads, unittest.TestCase), ("threads",), ROWS, INVERSES.get(suite.__name__),
            patches=patches,
        )
    }  # fmt: skip


def _main_classes() -> dict[str, dict[str, type]]:
    """Scripts of every kind whose main module the workers must find: by start method."""
    tests = installed.module(installed.MAINS)
    found: dict[str, dict[str, type]] = {}
    for suite in (tests.ForkCmdLineTest, tests.ForkServerCmdLineTest, tests.SpawnCmdLineTest):
        name = suite.__name__
        found[suite.start_method] = {
            name: conforming(
                name, __name__, suite, (), (suite.start_method,), ROWS, INVERSES.get(name),
                patches=attach.mains_of(tests),
            )
        }  # fmt: skip
    return found


HAVE_POOLS = installed.has(installed.POOLS)
HAVE_MAINS = installed.has(installed.MAINS)
CLASSES: dict[str, dict[str, type]] = {}
"""By start method, and "threads"; then by name."""
MAINS: dict[str, dict[str, type]] = {}

if HAVE_POOLS:
    CLASSES.update({method: _pool_classes(method) for method in METHODS})
    CLASSES["threads"] = _thread_pool_classes()
if HAVE_MAINS:
    MAINS.update(_main_classes())
for _classes in (*CLASSES.values(), *MAINS.values()):
    globals().update(_classes)
