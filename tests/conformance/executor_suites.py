"""`test.test_concurrent_futures`: its mixins, for our `Executor` and `Future`.

A module of its own, and importable by workers: some tests send methods of their own class.
"""

from __future__ import annotations

import io
import unittest
from unittest import mock

from tests.conformance import attach, installed, subject
from tests.conformance.exclusions import conforming
from tests.conformance.executor_exclusions import INVERSES, ROWS

METHODS = ("fork", "forkserver", "spawn")
DEADLOCK = 30.0
"""Seconds until CPython's tests call it a deadlock; theirs are 300."""


def _executor_classes(method: str) -> dict[str, type]:
    """The classes for one start method, by name."""
    util, init, shutdown, process_pool, deadlock = map(
        installed.futures_module, ("util", "test_init", "test_shutdown", "test_process_pool", "test_deadlock")
    )
    title = method.capitalize()

    class Mixin(getattr(util, f"ProcessPool{title}Mixin")):
        executor_type = subject.Executor

    classes: dict[str, type] = {}

    def add(tests, suite, **attributes):
        name = f"{title}{_stripped(suite)}Test"
        classes[name] = conforming(
            name, __name__, getattr(tests, suite), (Mixin, util.BaseTestCase), (method,), ROWS, INVERSES.get(suite),
            patches=attach.executors_of(tests), **attributes,
        )  # fmt: skip

    add(init, "InitializerMixin")
    add(init, "FailingInitializerMixin")
    add(shutdown, "ProcessPoolShutdownTest")
    add(process_pool, "ProcessPoolExecutorTest")
    add(deadlock, "ExecutorDeadlockTest", TIMEOUT=DEADLOCK)
    add(installed.futures_module("test_wait"), "WaitTests")
    add(installed.futures_module("test_as_completed"), "AsCompletedTests")
    if method != "fork":
        name = f"{title}FailingInitializerResourcesTest"
        classes[name] = _resources_class(name, method, init, classes[f"{title}FailingInitializerTest"])
    return classes


def _resources_class(name: str, method: str, init, failing: type) -> type:
    """Runs the tests of a failing initializer and then asks whether anything is left registered.

    It does not look at how they went; we do.
    """
    suite = init.FailingInitializerResourcesTest
    theirs = f"ProcessPool{method.capitalize()}FailingInitializerTest"

    def _test(self, test_class):
        results = []

        class Runner(unittest.TextTestRunner):
            def run(self, test):
                # Called as a suite: a single test would leave out what belongs to its class.
                results.append(super().run(unittest.TestSuite([test])))
                return results[-1]

        with mock.patch.object(unittest, "TextTestRunner", Runner):
            suite._test(self, test_class)
        self.assertEqual([result.wasSuccessful() for result in results], [True], results)

    return conforming(
        name, __name__, suite, (), (method,), ROWS, INVERSES.get(suite.__name__), only=[f"test_{method}"],
        patches=[lambda: mock.patch.object(init, theirs, failing)], _test=_test,
    )  # fmt: skip


def _thread_executor_classes() -> dict[str, type]:
    """What CPython asks of any executor, for ours with threads."""
    util = installed.futures_module("util")

    classes = {}
    for module, suite in (
        ("test_thread_pool", "ThreadPoolExecutorTest"),
        ("test_shutdown", "ExecutorShutdownTest"),
        ("test_init", "InitializerMixin"),
        ("test_wait", "WaitTests"),
        ("test_as_completed", "AsCompletedTests"),
    ):
        tests = installed.futures_module(module)
        name = f"Threads{_stripped(suite)}Test"
        classes[name] = conforming(
            name, __name__, getattr(tests, suite), (util.ThreadPoolMixin, util.BaseTestCase), ("threads",), ROWS,
            INVERSES.get(suite), patches=attach.executors_of(tests), executor_type=staticmethod(subject.ThreadExecutor),
        )  # fmt: skip
    return classes


def _future_classes() -> dict[str, type]:
    """The module of `Future`'s tests with every future in it made by us."""
    tests, util = map(installed.futures_module, ("test_future", "util"))

    def create_future(state=tests.PENDING, exception=None, result=None):
        future = subject.Future()
        future._state = state
        future._exception = exception
        future._result = result
        return future

    made = {"Future": subject.Future, "create_future": create_future}
    for name, theirs in vars(util).items():
        if name.endswith("_FUTURE"):
            made[name] = create_future(theirs._state, theirs._exception, theirs._result)
    name = "FutureTest"
    suite = tests.FutureTests
    return {
        name: conforming(
            name, __name__, suite, (), ("future",), ROWS, INVERSES.get(suite.__name__),
            patches=[lambda: mock.patch.multiple(tests, **made)],
        )
    }  # fmt: skip


def _stripped(suite: str) -> str:
    suite = suite.removeprefix("ThreadPool")
    for end in ("Mixin", "Tests", "Test"):
        suite = suite.removesuffix(end)
    return suite


HAVE_EXECUTORS = installed.has_futures()
CLASSES: dict[str, dict[str, type]] = {}
"""By start method, "threads" and "future"; then by name."""

if HAVE_EXECUTORS:
    CLASSES.update({method: _executor_classes(method) for method in METHODS})
    CLASSES["threads"] = _thread_executor_classes()
    CLASSES["future"] = _future_classes()
for _classes in CLASSES.values():
    globals().update(_classes)
