"""Fixtures for all tests."""

from __future__ import annotations

import multiprocessing

import pytest

# Found by pytest under these names.
from tests.leaks import name_our_semaphores, nothing_left_behind, pytest_runtest_makereport

__all__ = ["nothing_left_behind", "pytest_runtest_makereport"]

name_our_semaphores()


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
