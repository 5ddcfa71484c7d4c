"""Starting and ending workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx._launch.context import ContextLauncher
    from phalanx._launch.fork import ForkLauncher

__all__ = ["ContextLauncher", "ForkLauncher"]

_HOMES = {"ContextLauncher": "phalanx._launch.context", "ForkLauncher": "phalanx._launch.fork"}


def __getattr__(name: str) -> Any:
    # A started child imports this package for its main function, and none of the parent's parts.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
