"""A name says what a thing does; these say only that nobody knew."""

from __future__ import annotations

import ast

from tests.house.sources import sources

EMPTY_MODULE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
EMPTY_CLASS_ENDINGS = ("Manager", "Handler")
STANDARD_NAMES = {"SyncManager"}  # the standard library's, which ours stands in for


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    parts = {source.where: {part.strip("_") for part in source.name.split(".")} for source in sources()}
    del parts["util.py"]  # the name of a module of `multiprocessing`
    assert not [where for where, words in parts.items() if words & EMPTY_MODULE_NAMES]


def test_no_class_is_named_for_managing_or_handling() -> None:
    named = [
        f"{source.line(node)} {node.name}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(EMPTY_CLASS_ENDINGS)
        and node.name not in STANDARD_NAMES
    ]
    assert not named
