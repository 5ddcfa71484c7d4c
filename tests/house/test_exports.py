"""One door per name: users find everything in one public place, and it says so itself."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections import defaultdict
from types import ModuleType
from typing import Any

import pytest

from tests.house.sources import Source, sources

# Public modules that mirror one of the standard library: the names they take over from it are second doors on
# purpose, since `import phalanx as multiprocessing` has to find them where the standard has them.
MIRRORS = {
    "phalanx": "multiprocessing",
    "phalanx.pool": "multiprocessing.pool",
    "phalanx.futures": "concurrent.futures",
}


def is_alias(door: Source) -> bool:
    """Whether it is a module of the standard library under our name."""
    module = importlib.import_module(door.name)
    return module.__name__ == f"multiprocessing.{door.name.rpartition('.')[2]}"


DOORS = [
    source
    for source in sources()
    if source.is_public and not source.name.startswith("phalanx.testing") and not is_alias(source)
]


def standard_names(door: str) -> set[str]:
    """What the module takes over from the one that it mirrors."""
    if door not in MIRRORS:
        return set()
    original = importlib.import_module(MIRRORS[door])
    return set(dir(original)) | set(getattr(original, "__all__", ()))


def public_names(module: ModuleType) -> list[str]:
    return [name for name in getattr(module, "__all__", ()) if not name.startswith("__")]


def ours(thing: Any) -> bool:
    is_named = inspect.isclass(thing) or inspect.isfunction(thing)
    return is_named and str(thing.__module__).partition(".")[0] == "phalanx"


def doors() -> dict[str, list[str]]:
    """Name -> the public modules where it is to be found, drop-in names aside."""
    found: dict[str, list[str]] = defaultdict(list)
    for door in DOORS:
        module = importlib.import_module(door.name)
        for name in set(public_names(module)) - standard_names(door.name):
            found[name].append(door.name)
    return found


def test_every_name_has_one_door() -> None:
    assert not {name: where for name, where in doors().items() if len(where) > 1}


def test_nothing_has_two_names() -> None:
    names: dict[int, list[str]] = defaultdict(list)
    for name, (door, *_) in doors().items():
        thing = getattr(importlib.import_module(door), name)
        if ours(thing):
            names[id(thing)].append(f"{door}.{name}")
    assert not [where for where in names.values() if len(where) > 1]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_what_a_door_offers_is_there_and_reports_a_public_module(door: Source) -> None:
    module = importlib.import_module(door.name)
    for name in public_names(module):
        thing = getattr(module, name)
        if not ours(thing):
            continue
        home = importlib.import_module(thing.__module__)
        is_public = not any(part.startswith("_") for part in home.__name__.split("."))
        assert is_public, f"{door.name}.{name} says that it lives in {home.__name__}"
        assert getattr(home, thing.__qualname__, None) is thing


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_public_module_holds_names_and_no_logic(door: Source) -> None:
    """Only the two functions by which a module loads its names on first use."""
    allowed = {"__getattr__", "__dir__"}
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    defined = [node.name for node in ast.walk(door.tree) if isinstance(node, kinds)]
    assert set(defined) <= allowed


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_public_module_lists_its_names(door: Source) -> None:
    assert isinstance(importlib.import_module(door.name).__all__, list | tuple)
