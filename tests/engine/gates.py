"""What a long item waits for."""

from __future__ import annotations

import os


class Gate:
    """A pipe that can be read for ever after it was opened; forked workers have it too."""

    def __init__(self) -> None:
        self.read, self._write = os.pipe()

    def open(self) -> None:
        """Let every item go on."""
        os.write(self._write, b"x")

    def close(self) -> None:
        os.close(self.read)
        os.close(self._write)
