"""Replacements made in CPython's test modules while their tests run against ours."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any
from unittest import mock

from tests.conformance import subject


class Overlay(ModuleType):
    """A module that looks like another one except for some names."""

    def __init__(self, under: ModuleType, **names: Any) -> None:
        super().__init__(under.__name__)
        self.__dict__.update(names)
        self.__dict__["_under"] = under

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)


def pools_of(tests: ModuleType) -> list[Any]:
    """For `test._test_multiprocessing`: what it takes from `multiprocessing` without asking its mixins."""
    overlay = Overlay(tests.multiprocessing, Pool=subject.Pool, Manager=subject.Manager)
    return [
        lambda: mock.patch.object(tests, "multiprocessing", overlay),
        lambda: scripts_of(tests.test.support.script_helper),
    ]


def executors_of(tests: ModuleType) -> list[Any]:
    """For modules of `test.test_concurrent_futures` that make executors of their own."""

    def executor(*args: Any, **kwargs: Any) -> Any:
        return subject.Executor(*args, **kwargs)

    patches: list[Any] = []
    if hasattr(tests, "futures"):
        # A function is not equal to the class: tests that leave out "the" ProcessPoolExecutor do not leave out ours.
        made = subject.Executor if subject.BASELINE else executor
        overlay = Overlay(tests.futures, ProcessPoolExecutor=made)
        patches.append(lambda: mock.patch.object(tests, "futures", overlay))
    if hasattr(tests, "assert_python_ok"):
        patches.append(lambda: scripts_of(tests))
    return patches


def scripts_of(namespace: ModuleType) -> Any:
    """Scripts given to `assert_python_ok`, as text or as a file, import what is being tested."""
    run = namespace.assert_python_ok

    def assert_python_ok(*args: str, **kwargs: Any) -> Any:
        if args[0] == "-c":
            return run("-c", subject.rewritten(args[1]), *args[2:], **kwargs)
        if os.path.isfile(args[0]):
            with open(args[0], encoding="utf-8") as file:
                source = subject.rewritten(file.read())
            with open(args[0], "w", encoding="utf-8") as file:
                file.write(source)
        return run(*args, **kwargs)

    return mock.patch.object(namespace, "assert_python_ok", assert_python_ok)


def mains_of(tests: ModuleType) -> list[Any]:
    """For `test.test_multiprocessing_main_handling`: every script passes through one of these two."""

    def rewriting(make: Any, position: int) -> Any:
        def made(*args: Any, **kwargs: Any) -> Any:
            head, source, tail = args[:position], args[position], args[position + 1 :]
            if "multiprocessing import" in source:
                source = subject.rewritten(source)
            return make(*head, source, *tail, **kwargs)

        return made

    return [
        lambda: mock.patch.object(tests, "make_script", rewriting(tests.make_script, 2)),
        lambda: mock.patch.object(tests, "make_zip_pkg", rewriting(tests.make_zip_pkg, 4)),
    ]
