"""Every example in a docstring of the public names runs, and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from typing import Any

import pytest

from tests.house.sources import sources

MODULES = [source.name for source in sources() if source.where.startswith(("_api/", "_base/", "_observe/"))]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found: list[doctest.DocTest] = []
    for name in [*MODULES, "phalanx"]:
        module = importlib.import_module(name)
        # Public classes name another module as theirs, so each is looked at by itself.
        for value in list(vars(module).values()):
            is_ours = str(getattr(value, "__module__", "")).split(".")[0] == "phalanx"
            if is_ours and (inspect.isclass(value) or inspect.isfunction(value)):
                found += finder.find(value, getattr(value, "__name__", "?"), module=False, globs={})
    return [test for test in {(t.name, t.docstring): t for t in found}.values() if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name)
def test_example(example: Any) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    text: list[str] = []
    runner.run(example, out=text.append)
    assert not runner.failures, "".join(text)


def test_the_main_things_have_an_example() -> None:
    assert {"Executor", "Future", "Pool", "map", "stream"} <= {test.name for test in examples()}
