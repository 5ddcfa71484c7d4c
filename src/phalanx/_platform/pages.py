"""Pages: a few words per worker that the worker writes and the parent reads, or the other way round.

Behind the pages, in the same memory, stands what workers say of their stacks (`blackbox.py`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Any

from phalanx._base.page import PAGE_BYTES
from phalanx._platform import blackbox
from phalanx._platform.files import anonymous_file


def _is_in_memory(descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")  # noqa: PTH115
    except OSError:  # no /proc here, and then no stacks either
        return False


def _attach(handle: Any, capacity: int) -> SharedPages:
    return SharedPages(capacity, _descriptor=handle.detach())


class SharedPages:
    """Shared memory of `capacity` pages; travels to children by fork, or as an argument of a `Process`."""

    def __init__(self, capacity: int = 4096, *, _descriptor: int | None = None) -> None:
        size = capacity * PAGE_BYTES
        self.capacity = capacity
        self.asked: dict[int, Any] = {}
        """In the parent: what was asked last of the worker that has the page (`asking.py`)."""
        self._descriptor = anonymous_file("phalanx-pages", size) if _descriptor is None else _descriptor
        try:
            self._map = mmap.mmap(self._descriptor, size)
        except BaseException:
            os.close(self._descriptor)
            raise

    def page(self, index: int) -> memoryview:
        """Eight native 64-bit words; writing one of them never tears."""
        if not 0 <= index < self.capacity:
            raise IndexError(f"page {index} of {self.capacity}")
        return memoryview(self._map)[index * PAGE_BYTES : (index + 1) * PAGE_BYTES].cast("Q")

    def record_stacks(self, index: int, worker: int) -> None:
        """In the worker that has this page: let the parent see its stack. Where that cannot be, it does nothing."""
        # A file on a disk is no place for a signal handler to write to.
        if _is_in_memory(self._descriptor):
            blackbox.record(self._descriptor, self._region(index), worker)

    def account(self, index: int, worker: int, since: int = 0) -> str | None:
        """What that worker said of its stack, as `faulthandler` writes it; None before it can.

        `since`: how much of that need not come again.
        """
        return blackbox.read(self._descriptor, self._region(index), worker, since)

    def process_id(self, index: int, worker: int) -> int | None:
        """Of that worker, once it can be asked for its stack."""
        return blackbox.process_id(self._descriptor, self._region(index), worker)

    def _region(self, index: int) -> int:
        # No longer file is asked for: what is written beyond its end makes it grow.
        pages = -(-self.capacity * PAGE_BYTES // blackbox.REGION_BYTES)
        return (pages + index) * blackbox.REGION_BYTES

    def close(self) -> None:
        """Give the descriptor back, and the memory as soon as no page is in use."""
        self.asked.clear()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        with contextlib.suppress(BufferError):  # a page is still held: its end frees the mapping
            self._map.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Only needed where a child is started by pickling, and slow to import.
        from multiprocessing import context, reduction

        context.assert_spawning(self)
        return _attach, (reduction.DupFd(self._descriptor), self.capacity)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


class LocalPages:
    """The same for workers in this process."""

    def __init__(self, capacity: int = 4096) -> None:
        self.capacity = capacity
        self.asked: dict[int, Any] = {}
        self._memory = bytearray(capacity * PAGE_BYTES)

    def page(self, index: int) -> memoryview:
        """Eight native 64-bit words."""
        if not 0 <= index < self.capacity:
            raise IndexError(f"page {index} of {self.capacity}")
        return memoryview(self._memory)[index * PAGE_BYTES : (index + 1) * PAGE_BYTES].cast("Q")

    def record_stacks(self, index: int, worker: int) -> None:
        """Their stacks are this process's own."""

    def account(self, index: int, worker: int, since: int = 0) -> str | None:
        """None: see `record_stacks`."""
        return None

    def process_id(self, index: int, worker: int) -> int | None:
        """None: see `record_stacks`."""
        return None

    def close(self) -> None:
        """Nothing to give back: the memory goes with its last page."""
