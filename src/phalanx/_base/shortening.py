"""Arguments, and how much they are, as text that is short enough for one line of a message."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Enough to recognise an item by.
_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80
_shortener.maxlist = _shortener.maxtuple = _shortener.maxdict = _shortener.maxset = 4


_UNITS = ("bytes", "KB", "MB", "GB", "TB")


class Arguments(NamedTuple):
    """What is known of an item's arguments. What is not known is None."""

    text: str | None
    size: int | None
    """Bytes, as they were sent."""


NOTHING_KNOWN = Arguments(None, None)


def shorten(value: Any) -> str:
    """The value's `repr`, shortened; what that raises is told instead."""
    try:
        return _shortener.repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def shorten_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The arguments as they stand in a call."""
    return ", ".join([*map(shorten, args), *(f"{name}={shorten(value)}" for name, value in kwargs.items())])


def in_units(size: int) -> str:
    """Bytes as a person says them."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"
