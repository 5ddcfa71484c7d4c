"""Whatever `multiprocessing` offers is found under `phalanx`: ours where we have it, else the very same object."""

from __future__ import annotations

import importlib
import multiprocessing
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import phalanx

OURS = {"Barrier", "Condition", "Event", "Lock", "Manager", "Pool", "Process", "RLock", "get_context"}
OUR_MODULES = {"managers", "pool"}


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:  # what belongs to another system
        return False
    return True


MODULES = [
    module.name
    for module in pkgutil.iter_modules(multiprocessing.__path__)
    if importable(f"multiprocessing.{module.name}")
]


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(phalanx, name)
    assert (found is getattr(multiprocessing, name)) is (name not in OURS)
    assert name in dir(phalanx)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_there(name: str) -> None:
    imported = importlib.import_module(f"phalanx.{name}")
    assert getattr(phalanx, name) is imported
    original = importlib.import_module(f"multiprocessing.{name}")
    if name not in OUR_MODULES:
        assert imported is original
    else:
        public = getattr(original, "__all__", [])
        assert not [each for each in public if not hasattr(imported, each)]


def test_modules_are_found_in_every_way_of_importing() -> None:
    program = """
import phalanx.shared_memory
from phalanx.connection import Client, Listener
from phalanx import sharedctypes, synchronize
import phalanx as multiprocessing
import multiprocessing as standard
print(phalanx.shared_memory.SharedMemory is standard.shared_memory.SharedMemory)
print(multiprocessing.queues.Queue.__module__, Listener.__module__, synchronize.Lock.__module__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [
        "True",
        "multiprocessing.queues multiprocessing.connection multiprocessing.synchronize",
    ]


def test_looking_imports_nothing_that_is_not_asked_for() -> None:
    program = "import sys, phalanx; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"multiprocessing", "phalanx.connection"} & set(done.stdout.split())


class TestContexts:
    def test_what_is_ours(self, start_method: str) -> None:
        context: Any = phalanx.get_context(start_method)
        assert context.get_start_method() == start_method
        assert isinstance(context, type(multiprocessing.get_context(start_method)))
        assert context.Process.__module__.startswith("phalanx")
        with context.Pool(2, maxtasksperchild=10, chunksize=1) as pool:
            assert isinstance(pool, phalanx.Pool)
            assert pool.map(abs, [-1, -2]) == [1, 2]

    def test_standard_classes_take_them(self, start_method: str) -> None:
        context: Any = phalanx.get_context(start_method)
        queue = context.Queue()
        process = context.Process(target=queue.put, args=(5,))
        process.start()
        assert queue.get(timeout=30) == 5
        assert process.result() is None
        queue.close()
        queue.join_thread()

    def test_the_default_is_that_of_multiprocessing(self) -> None:
        default = phalanx.get_context()
        assert default.get_start_method() == multiprocessing.get_start_method()
        assert default is phalanx.get_context(multiprocessing.get_start_method())

    def test_an_unknown_method_is_refused_as_by_multiprocessing(self) -> None:
        with pytest.raises(ValueError, match="cannot find context for 'forks'"):
            phalanx.get_context("forks")
