"""Fixtures for all tests."""

from __future__ import annotations

import multiprocessing

import pytest

from phalanx._launch.context import preload

# Found by pytest under these names.
from tests.leaks import name_our_semaphores, nothing_left_behind, pytest_runtest_makereport

__all__ = ["nothing_left_behind", "pytest_runtest_makereport"]

name_our_semaphores()

# One fork server serves all tests, and the first of them that uses one starts it, be it the standard library's own.
# What test modules import is loaded there once, not in each process that runs something of theirs.
preload(
    "phalanx._api.process",
    "phalanx._launch.process",
    "phalanx._worker.main",
    "pytest",
    "test._test_multiprocessing",
)


# On the other interpreters the two slow ones are left to the standard library's own tests (`tests/conformance`).
@pytest.fixture(
    params=[
        "fork",
        pytest.param("forkserver", marks=pytest.mark.slow),
        pytest.param("spawn", marks=pytest.mark.slow),
    ]
)
def start_method(request: pytest.FixtureRequest) -> str:
    """Each way to start a process in turn."""
    method: str = request.param
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    return method
