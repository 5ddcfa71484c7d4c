"""The seam between the engine and how bytes move. Policy and engine are the same whatever the channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Channel(ABC):
    """The parent's end of the private, two-way path to one worker. Never blocks."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor to wait on, or -1 when its news come through the launcher's descriptor."""

    @abstractmethod
    def put(self, entry: Any) -> None:
        """Append one outgoing entry; a single atomic step. `flush` moves it."""

    @abstractmethod
    def flush(self) -> bool:
        """Write what can be written now. True when nothing is left to write."""

    @abstractmethod
    def fill(self) -> bool | None:
        """Take in what can be read now: True if there was something, None if not, False at the end."""

    @abstractmethod
    def close(self) -> None:
        """Give the descriptors back. Idempotent."""
