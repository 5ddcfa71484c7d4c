"""The tables of excluded tests are true: every row names a test that exists, every inverse has its row."""

from __future__ import annotations

import ast
import pathlib

import pytest

from tests.conformance import executor_exclusions, executor_suites, installed, pool_exclusions, pool_suites
from tests.conformance.exclusions import Excluded, test_names

FLAVOURS = {"fork", "forkserver", "spawn", "threads", "processes", "manager", "future"}
TABLES = {"pool": pool_exclusions, "executor": executor_exclusions}
INSTALLED = {"pool": pool_suites.HAVE_POOLS, "executor": executor_suites.HAVE_EXECUTORS}
FUTURES_MODULES = (
    "util", "executor", "test_init", "test_shutdown", "test_process_pool", "test_thread_pool", "test_deadlock",
    "test_wait", "test_as_completed", "test_future",
)  # fmt: skip


def named(row: Excluded) -> str:
    return f"{row.suite}.{row.test}"


ALL_ROWS = [pytest.param(table, row, id=named(row)) for table in TABLES.values() for row in table.ROWS]


def suites() -> dict[str, type]:
    """CPython's classes with tests, by name, as far as they are installed."""
    names = [installed.POOLS, installed.MAINS]
    modules = [installed.module(name) for name in names if installed.has(name)]
    if installed.has_futures():
        modules += map(installed.futures_module, FUTURES_MODULES)
    return {
        name: thing
        for module in modules
        for name, thing in vars(module).items()
        if isinstance(thing, type) and thing.__module__ == module.__name__ and test_names(thing)
    }


def ours() -> list[type]:
    groups = [*pool_suites.CLASSES.values(), *pool_suites.MAINS.values(), *executor_suites.CLASSES.values()]
    return [cls for group in groups for cls in group.values()]


@pytest.mark.parametrize(("name", "table"), TABLES.items())
def test_every_row_names_a_test_that_exists_and_is_run_from_here(name, table):
    if not INSTALLED[name]:
        pytest.skip("this Python comes without those tests")
    found = suites()
    run = {base for cls in ours() for base in cls.__mro__}
    for row in table.ROWS:
        if row.exists_here:
            assert hasattr(found.get(row.suite), row.test), named(row)
            assert found[row.suite] in run, named(row)


@pytest.mark.parametrize(("table", "row"), ALL_ROWS)
def test_every_row_has_a_reason_and_its_inverse(table, row):
    assert len(row.reason) > 20
    assert set(row.only) <= FLAVOURS
    has_inverse = hasattr(table.INVERSES.get(row.suite), row.test)
    assert has_inverse == row.inverted


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_no_row_stands_twice_and_every_inverse_has_a_row(table):
    names = [named(row) for row in table.ROWS]
    assert len(names) == len(set(names))
    inverses = {f"{suite}.{test}" for suite, cls in table.INVERSES.items() for test in test_names(cls)}
    assert inverses == {named(row) for row in table.ROWS if row.inverted}


@pytest.mark.skipif(not pool_suites.HAVE_POOLS, reason="this Python comes without those tests")
def test_every_class_of_cpythons_that_makes_a_pool_is_run():
    taken = {base for cls in ours() for base in cls.__mro__}
    module = installed.module(installed.POOLS)
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    making = [
        getattr(module, node.name)
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and "Pool(" in "\n".join(lines[node.lineno : node.end_lineno])
    ]
    missing = [cls.__name__ for cls in making if test_names(cls) and cls not in taken]
    assert missing == []


@pytest.mark.skipif(not executor_suites.HAVE_EXECUTORS, reason="this Python comes without those tests")
def test_every_class_of_cpythons_about_executors_is_run_or_named():
    taken = {base for cls in ours() for base in cls.__mro__}
    # The rest is derived from these with executors of CPython's.
    with_tests_of_their_own = {
        name
        for name, cls in suites().items()
        if cls.__module__.startswith(installed.FUTURES) and any(test in vars(cls) for test in test_names(cls))
        if cls not in taken
    }
    assert with_tests_of_their_own == executor_exclusions.NOT_TAKEN.keys()
