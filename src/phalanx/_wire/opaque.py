"""Looking into a pickle without running anything that it names.

For messages about an item whose own bytes may have killed a worker: plain values are rebuilt, everything else
becomes a stand-in that only knows its name.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

# What a pickle calls on an object to put something into it.
_TAKING = ("__init__", "__setstate__", "__setitem__", "append", "extend", "add")


class _Outline(pickle.Unpickler):
    """Puts stand-ins in place of all functions and classes."""

    def find_class(self, module: str, name: str) -> Any:
        def ignore(self: Any, *state: Any) -> None:
            """Takes whatever a pickle would put into the object."""

        body: dict[str, Any] = dict.fromkeys(_TAKING, ignore)
        body["__new__"] = lambda cls, *args, **kwargs: object.__new__(cls)
        body["__repr__"] = lambda self: f"<{module}.{name}>"
        return type(name.rpartition(".")[2], (), body)


def outline(data: bytes) -> Any:
    """What the pickle holds, with stand-ins. Raises what unpickling raises."""
    return _Outline(io.BytesIO(data)).load()
