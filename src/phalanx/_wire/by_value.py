"""Code by value: the pickler for functions and classes that the other side cannot import."""

from __future__ import annotations

import io
from collections import ChainMap
from functools import cache
from typing import Any, ClassVar, NoReturn


@cache
def by_value_pickler() -> Any:
    """cloudpickle's pickler, less what would silently arrive as something else. Imported on first use."""
    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        # cloudpickle sends the contents of an open file, and a memoryview as bytes.
        dispatch_table: ClassVar[Any] = ChainMap(
            {io.TextIOWrapper: _refuse, memoryview: _refuse}, cloudpickle.Pickler.dispatch_table
        )

    return ByValue


def _refuse(obj: Any) -> NoReturn:
    raise TypeError(f"cannot pickle {type(obj).__name__!r} object")
