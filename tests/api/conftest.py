"""Doors that hold tasks back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.tasks import Door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Closed until the test opens it; opened at the end, whatever happens."""
    found = Door(tmp_path)
    yield found
    found.open()


@pytest.fixture(params=["processes", "threads", "serial"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    name: str = request.param
    return name
