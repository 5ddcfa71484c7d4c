"""Progress of one call: a bar drawn by tqdm, or counts handed to a callable of the user's.

The thread of the call tells the display how many items have arrived, once per batch and holding no lock, so a
slow display slows its own call only. There is no thread of ours, nor tqdm's monitor.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

Report = Callable[[int, int | None], object]

# Seconds between two drawings of a bar.
_REDRAW = 0.1


class ProgressDisplay(ABC):
    """What a call tells its progress to. Made by `open`; `close` it when the call ends, however it ends."""

    @staticmethod
    def open(progress: bool | str | Report, total: int | None, title: str | None = None) -> ProgressDisplay:
        """The display for the option `progress`; `total` is None when nobody knows.

        True shows a bar with `title`, text shows one with that text. A callable is called as
        ``progress(done, total)`` for each batch that arrives; what it raises ends the call that it watches.
        """
        if callable(progress):
            return _Reporting(progress, total)
        if progress is False:
            return _Silent()
        return _Bar(total, progress if isinstance(progress, str) else title)

    @abstractmethod
    def update(self, done: int) -> None:
        """`done` items have arrived since the beginning."""

    @abstractmethod
    def close(self) -> None:
        """No more will arrive. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Silent(ProgressDisplay):
    def update(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Reporting(ProgressDisplay):
    """Hands each new count to a callable."""

    def __init__(self, report: Report, total: int | None) -> None:
        self._report = report
        self._total = total
        self._done = 0

    def update(self, done: int) -> None:
        if done != self._done:
            self._done = done
            self._report(done, self._total)

    def close(self) -> None:
        pass


class _Bar(ProgressDisplay):
    """A bar in the terminal or the notebook. If it cannot be drawn it is given up; the work goes on."""

    def __init__(self, total: int | None, title: str | None) -> None:
        self._bar: Any = None
        try:
            # `miniters`: tqdm would learn how many updates to let pass, and needs its monitor to unlearn it.
            self._bar = _bar_class()(total=total, desc=title or None, mininterval=_REDRAW, miniters=1)
        except Exception:  # no stream to draw on, a closed one, a notebook's display that is not there, ...
            pass

    def update(self, done: int) -> None:
        if self._bar is not None:
            try:
                self._bar.update(done - self._bar.n)
            except Exception:
                self._give_up()

    def close(self) -> None:
        if self._bar is not None:
            try:
                self._bar.close()
            except Exception:
                self._give_up()
            self._bar = None

    def _give_up(self) -> None:
        self._bar.disable = True  # or its `__del__` would try again
        self._bar = None


def _bar_class() -> Any:
    """tqdm's class for where we are, set up on a subclass of its own: the user's tqdm stays as it is."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        monitor_interval: ClassVar[int] = 0
        # tqdm's default lock comes with one of multiprocessing, and making that settles the start method of
        # the whole program. If the user's bars have one already it is shared, and all bars keep their lines.
        if not hasattr(tqdm, "_lock"):
            _lock: ClassVar[Any] = threading.RLock()

    return Bar
