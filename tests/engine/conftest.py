"""Fixtures for tests of the engine with real workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tasks import Ledger


def options_of(kind: str) -> dict[str, Any]:
    """The options that choose a kind of workers: a start method, or the name of a backend."""
    if kind in ("threads", "serial"):
        return {"backend": kind}
    if kind not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {kind} here")
    return {"start_method": kind}


@pytest.fixture(params=["fork", "threads", "serial"])
def workers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options for each backend in turn; processes by the cheapest start method."""
    return options_of(request.param)


@pytest.fixture(params=["fork", "threads"])
def parallel_workers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options for the backends that run several items at once."""
    return options_of(request.param)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Where the items of this test are written down."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def gate() -> Iterator[Any]:
    """A pipe: items that `hold(gate.read)` go on after `gate.open()`."""
    from tests.engine.gates import Gate

    gate = Gate()
    yield gate
    gate.close()
