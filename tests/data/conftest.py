"""Fixtures for tests with large objects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phalanx import Executor, Pool


@pytest.fixture
def pool(start_method: str) -> Iterator[Pool]:
    """Two workers, by each start method in turn."""
    with Pool(2, start_method=start_method) as made:
        yield made
        made.close()
        made.join()


@pytest.fixture
def executor(start_method: str) -> Iterator[Executor]:
    """Two workers, by each start method in turn."""
    with Executor(2, start_method=start_method) as made:
        yield made


@pytest.fixture
def forked() -> Iterator[Executor]:
    """Two workers that are forked, for what is the same under every start method."""
    with Executor(2, start_method="fork") as made:
        yield made
