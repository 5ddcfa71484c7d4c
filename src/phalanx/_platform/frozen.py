"""A frozen program has no interpreter to start: for a process of its own it starts itself, and has to notice that."""

from __future__ import annotations

import multiprocessing.spawn
from typing import Any


def become_what_was_started(spec: Any) -> None:
    """Called by the import of phalanx, whose spec is given, in every frozen program.

    One that calls `multiprocessing.freeze_support` notices before. Where it was started for the standard library or
    for us, this does not return.
    """
    # Our package is ready, though its import never ends there: a thread that imports it shall not wait for that.
    spec._initializing = False
    multiprocessing.spawn.freeze_support()
