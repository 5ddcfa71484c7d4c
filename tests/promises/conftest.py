"""Doors that hold tasks back, and a record of what workers ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.tasks import Door
from tests.promises.tasks import Record


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Closed until the test opens it; opened at the end, whatever happens."""
    found = Door(tmp_path)
    yield found
    found.open()


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Empty."""
    return Record(str(tmp_path / "record"))
