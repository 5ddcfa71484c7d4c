"""The form of the tables of excluded tests, and how a suite with such a table becomes a test class of ours."""

from __future__ import annotations

import sys
import unittest
import unittest.mock
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.conformance.subject import RUN_EXCLUDED


@dataclass(frozen=True)
class Excluded:
    """One test of CPython's that is not run as it stands."""

    suite: str
    test: str
    reason: str
    inverted: bool = False
    """The class of inverses has a test of this name, which runs in its place."""
    only: tuple[str, ...] = ()
    """Start methods or kinds of pool to which this applies; none means all."""
    since: tuple[int, int] = (3, 11)
    """The first Python with this test."""

    def applies(self, suite: str, flavours: Iterable[str]) -> bool:
        return self.suite == suite and (not self.only or not set(self.only).isdisjoint(flavours))

    @property
    def exists_here(self) -> bool:
        return sys.version_info[:2] >= self.since


Patch = Callable[[], Any]
"""Makes a context manager that replaces something in one of CPython's test modules."""


class Attached:
    """Keeps the replacements in force while the tests of a class run."""

    patches: Sequence[Patch] = ()

    @classmethod
    def setUpClass(cls) -> None:
        for patch in cls.patches:
            cls.enterClassContext(patch())
        super().setUpClass()


def conforming(
    name: str,
    module: str,
    suite: type,
    bases: tuple[type, ...],
    flavours: tuple[str, ...],
    rows: Sequence[Excluded],
    inverses: type | None = None,
    only: Sequence[str] | None = None,
    **attributes: Any,
) -> type:
    """The class `name` of `module`: the tests of `suite` (or `only` some), less the excluded ones, plus inverses.

    The class must be reachable under that name: some tests send methods of their own class to the workers.
    """
    namespace: dict[str, Any] = {"__module__": module, "__qualname__": name, **attributes}
    if only is not None:
        namespace.update({test: None for test in test_names(suite) if test not in only})
    for row in rows:
        if RUN_EXCLUDED or not row.exists_here or not row.applies(suite.__name__, flavours):
            continue
        if row.inverted:
            namespace[row.test] = getattr(inverses, row.test)
        else:
            namespace[row.test] = unittest.skip(row.reason)(getattr(suite, row.test))
    helpers = (
        {}
        if inverses is None
        else {n: f for n, f in vars(inverses).items() if not n.startswith(("test", "__"))}
    )
    return type(name, (Attached, suite, *bases), helpers | namespace)


def test_names(suite: type) -> list[str]:
    return [name for name in dir(suite) if name.startswith("test")]


test_names.__test__ = False  # not a test, whatever pytest may think of its name
