"""What every worker is started with. Plain classes: a child that has to load `dataclasses` starts 15 ms later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class WorkerIdentity:
    """Who a worker is: a number never used twice in its engine, its slot, and its place in the pages."""

    __slots__ = ("environment", "name", "ordinal", "page", "slot", "worker")

    def __init__(
        self,
        worker: int,
        slot: int,
        page: int,
        name: str = "",
        ordinal: int = 0,
        environment: dict[str, str] | None = None,
    ) -> None:
        """`environment`: what is set before anything of the user's is loaded.
        `name`: the `multiprocessing` process name, such as ``ForkPoolWorker-3``; `ordinal`: last part of the
        process's `_identity`, as the standard library counts. Made by the launcher if empty or 0."""
        self.worker = worker
        self.slot = slot
        self.page = page
        self.name = name
        self.ordinal = ordinal
        self.environment = environment or {}

    def __repr__(self) -> str:
        return f"<worker {self.worker} in slot {self.slot}, page {self.page} {self.name}>"


class WorkerSetup:
    """What all workers of an engine have in common: pages, a `SharedPages` (or `LocalPages`), and initializer."""

    __slots__ = ("capture", "inherited", "initargs", "initializer", "pages", "share", "threads")

    def __init__(
        self,
        pages: Any,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        share: int | None = None,
        inherited: tuple[Callable[..., Any], Sequence[Any]] | None = None,
        threads: Any = None,
        capture: tuple[str, dict[str, int]] = ("inherit", {}),
    ) -> None:
        """`initializer`: a function, or what becomes its pickle on the way to a started process.
        `share`: how many processors each may use for pools of its own; None for no less than the parent.
        `inherited`: function and items of the one call that the workers are forked for.
        `threads`: a `ThreadLimit`. `capture`: the option, and the levels of the parent's loggers."""
        self.pages = pages
        self.initializer = initializer
        self.initargs = initargs
        self.share = share
        self.inherited = inherited
        self.threads = threads
        self.capture = capture
