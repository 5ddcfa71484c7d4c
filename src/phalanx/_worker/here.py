"""`phalanx.worker`: what a task can ask of the worker that runs it.

A worker process has its facts for good, a worker thread too; a worker that is called by the thread that waits lends
them to that thread for as long as it runs. Everywhere else there are those of the process itself, so a function that
asks can be called without a pool. Nothing is done for an item in advance: what can be asked is found out then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from phalanx._worker.runner import Runner

Stream = tuple[tuple[int, ...], int]
"""A seed, and the index of the item whose random numbers come from it."""


class Facts:
    """Of one worker, or of a process that is none."""

    def __init__(self, slot: int | None = None, is_alone: bool = True) -> None:
        """`is_alone`: while it runs an item, nobody else in its process does."""
        self.slot = slot
        self.is_alone = is_alone
        self.state: dict[Any, Any] = {}
        self.runner: Runner | None = None
        self.stream: Stream | None = None
        self.generator: Any = None
        """Made when it is first asked for, of the worker or of the item that is running."""
        self._exits: list[Callable[[], object]] = []

    def index(self) -> int | None:
        return None if self.runner is None else self.runner.index()

    def at_exit(self, function: Callable[[], object]) -> None:
        if self.runner is None and self.slot is None:
            import atexit

            atexit.register(function)
        else:
            self._exits.append(function)

    def end(self) -> None:
        """Run what was registered, last first. What one raises is shown, and keeps no other from running."""
        while self._exits:
            try:
                self._exits.pop()()
            except BaseException:
                sys.excepthook(*sys.exc_info())


OF_THREAD: ContextVar[Facts | None] = ContextVar("worker", default=None)
_of_process = Facts()


def facts() -> Facts:
    """Of whoever calls."""
    return OF_THREAD.get() or _of_process


def enter_process(mine: Facts) -> None:
    """This process is a worker from now on. It shall not draw the numbers that others draw, or its parent."""
    global _of_process
    _of_process = mine
    OF_THREAD.set(None)
    # Forked with the state of its parent; `random` sees to that itself.
    legacy = sys.modules.get("numpy.random")
    if legacy is not None:
        legacy.seed()


def enter_thread(mine: Facts) -> None:
    """This thread, or this context, is a worker from now on."""
    OF_THREAD.set(mine)


class CurrentWorker:
    """The worker that runs the present task: `phalanx.worker`.

    Example:
        >>> import phalanx
        >>> def where(item):
        ...     return phalanx.worker.task_index
        >>> phalanx.map(where, "abc", workers=2)
        [0, 1, 2]
    """

    @property
    def slot(self) -> int | None:
        """The worker's place, from 0 to one less than the number of workers; a replacement takes its predecessor's.

        Say, to give each worker a device or a port of its own. None outside of workers.
        """
        return facts().slot

    @property
    def task_index(self) -> int | None:
        """The place of the present item in the input of its call; of a submitted call, its number. Else None."""
        return facts().index()

    @property
    def state(self) -> dict[Any, Any]:
        """A dict that lives as long as the worker: for what is dear to make, such as a connection."""
        return facts().state

    @property
    def rng(self) -> np.random.Generator:
        """A `numpy.random.Generator`: with the option `seed` the item's own, else the worker's own.

        Raises ImportError if NumPy is not installed.
        """
        mine = facts()
        if mine.generator is None:
            try:
                import numpy as np
            except ImportError as error:
                raise ImportError(
                    "phalanx.worker.rng needs NumPy: pip install 'phalanx[numpy]'", name="numpy"
                ) from error
            if mine.stream is None:
                mine.generator = np.random.default_rng()
            else:
                seed, index = mine.stream
                sequence = np.random.SeedSequence(list(seed), spawn_key=(index,))
                mine.generator = np.random.default_rng(sequence)
        found: np.random.Generator = mine.generator
        return found

    def at_exit(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Have this called when the worker ends, if it is not killed: to close what an initializer has opened.

        What was registered last is called first. Outside of workers: when the interpreter ends.
        """
        facts().at_exit(lambda: function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<phalanx.worker slot={self.slot} task_index={self.task_index}>"


worker = CurrentWorker()
CurrentWorker.__module__ = "phalanx"
