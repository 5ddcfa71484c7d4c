"""What starting a child costs: the worker's side loads nothing of the parent's."""

from __future__ import annotations

import subprocess
import sys

PARENT_SIDE = ("_policy", "_engine", "_api", "_observe", "_launch", "_cli")
SLOW_TO_LOAD = (
    "concurrent.futures",
    "dataclasses",
    "inspect",
    "logging",
    "tempfile",
    "traceback",
)
DEPENDENCIES = ("click", "cloudpickle", "numpy", "psutil", "rich", "threadpoolctl", "tqdm")


def loaded_by(code: str) -> set[str]:
    """The modules of a fresh interpreter after `code`, without those it starts with."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


WORKER_SIDE = """
import pkgutil, importlib, phalanx._worker
for found in pkgutil.walk_packages(phalanx._worker.__path__, "phalanx._worker."):
    importlib.import_module(found.name)
"""


def test_the_worker_loads_nothing_of_the_parents_side() -> None:
    loaded = loaded_by(WORKER_SIDE)
    assert "phalanx._worker" in loaded
    assert not {
        name for name in loaded for layer in PARENT_SIDE if (name + ".").startswith(f"phalanx.{layer}.")
    }


def test_the_worker_loads_neither_the_errors_nor_a_dependency_before_it_needs_them() -> None:
    loaded = loaded_by(WORKER_SIDE)
    assert "phalanx._base.errors" not in loaded
    assert not {name for name in loaded if name.split(".")[0] in DEPENDENCIES}


def test_the_worker_loads_nothing_that_takes_long() -> None:
    """Of the standard library's: `dataclasses` alone, with what it needs, takes 15 ms of every spawned worker."""
    loaded = loaded_by("import phalanx._worker.main, phalanx._launch.process")
    assert not loaded & set(SLOW_TO_LOAD)


def test_importing_the_package_loads_no_layer_of_it() -> None:
    loaded = loaded_by("import phalanx")
    assert not {
        name for name in loaded for layer in PARENT_SIDE if (name + ".").startswith(f"phalanx.{layer}.")
    }
    assert "multiprocessing.pool" not in loaded
