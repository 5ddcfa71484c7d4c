"""Code that travels by value, and the globals that it works with on the other side."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from phalanx._wire.failures import decode_error, encode_error

DEFINED = """
limit = 1

def make():
    class Failed(Exception):
        def __str__(self):
            return f"more than {limit}"
    return Failed()
"""


def test_an_error_that_comes_by_value_changes_nothing_in_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from a worker, whose `__main__` is not that of the caller."""
    names: dict[str, Any] = vars(sys.modules["__main__"])
    exec(DEFINED, names)
    try:
        report = encode_error(names["make"]())
        names["limit"] = 2
        assert str(decode_error(report)[0]) == "more than 1"
        assert names["limit"] == 2
    finally:
        for name in ("limit", "make"):
            del names[name]
