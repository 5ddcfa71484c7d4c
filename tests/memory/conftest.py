"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.memory.crossing import Crossing


@pytest.fixture
def crossing() -> Iterator[Crossing]:
    made = Crossing()
    yield made
    made.close()
