"""The library waits for things to happen; it never sleeps to look again."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import Source, imports, sources

# Where -> reason.
SLEEPERS: dict[str, str] = {}


def sleeps(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            yield source.line(node)
    for node, name in imports(source):
        if name.rpartition(".")[2] == "sleep":
            yield source.line(node)


def test_nothing_sleeps() -> None:
    assert not [found for source in sources() if source.where not in SLEEPERS for found in sleeps(source)]


def test_every_listed_exception_is_still_needed() -> None:
    asleep = {source.where for source in sources() if any(sleeps(source))}
    assert set(SLEEPERS) <= asleep
