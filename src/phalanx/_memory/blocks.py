"""A block: shared memory without a name, known by its descriptor.

Nothing of it can be left behind, whoever is killed when: the kernel frees it with the last descriptor and the
last mapping. Its lender writes into it; a borrower gets a duplicate of the descriptor and looks at it through
*private* mappings, so that what the borrower writes is the borrower's alone: another borrower of the same block,
a second try after a crash, and the children that the borrower forks all find what the lender wrote.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from typing import Any

from phalanx._platform.forked import close_in_children, making_descriptors
from phalanx._platform.memory import BLOCK_NAME

# The least size for which a mapping is made. Measured, for a copy by system calls and through a mapping that is
# there already: 256 KB: 10 and 6 us, 1 MB: 94 and 47; to make the mapping costs as much as one copy.
_COPIED_FROM = 1 << 20
# The largest block that is mapped for it: the call that maps keeps the interpreter's lock, for 4 ms at this size,
# which is less than a thread may keep it anyway (`sys.getswitchinterval`).
_MAPPED_UP_TO = 1 << 26
# With all its pages, for to have them mapped one by one as they are written costs four times as much.
_MAPPED_AT_ONCE = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
# From Python 3.13 on a mapping need not hold a descriptor of its own.
_KEEP_NO_DESCRIPTOR: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def are_there() -> bool:
    """Whether this system has anything like blocks."""
    return hasattr(os, "memfd_create")


class _Numbers(list[int]):
    """Descriptors, closed with this. An exception that strikes a block's own finalizer leaves them to this one."""

    __slots__ = ()

    def close(self, close: Callable[[int], object] = os.close) -> None:
        """`close` is at hand also when the interpreter ends, and has emptied the modules by then."""
        while self:
            number = self[-1]
            # Not `pop`: behind a call an exception may strike.
            del self[-1]
            close(number)

    def __del__(self) -> None:
        self.close()


class Block:
    """`size` bytes of shared memory. Made by `make` or `adopt`."""

    __slots__ = ("__weakref__", "_map", "_numbers", "id", "size")

    def __init__(self, id: int, size: int) -> None:
        self.id = id
        """Positive, below 2**63, and no other block's in any process."""
        self.size = size
        self._map: mmap.mmap | None = None
        # A list: the call that makes the descriptor stores it, so that no exception can come between.
        self._numbers = _Numbers()

    @classmethod
    def make(cls, size: int) -> Block:
        """A new one. Raises OSError where it cannot be made.

        Whoever calls has asked whether there is as much memory: Linux may kill somebody rather than refuse.
        """
        if not are_there():
            raise OSError("this system has no anonymous shared memory")
        block = cls(int.from_bytes(os.urandom(8), "little") >> 1 | 1, size)
        with making_descriptors():
            block._numbers.extend(map(os.memfd_create, (BLOCK_NAME,)))
            close_in_children(block)
        # What is refused (by limits of files, by systems that count strictly) is an error here, and would be a
        # SIGBUS when the memory is first written to.
        os.posix_fallocate(block.descriptor, 0, size + 1)
        return block

    @classmethod
    def adopt(cls, id: int, size: int, descriptor: int) -> Block:
        """One that another process has made. The descriptor is the block's from now on."""
        block = cls(id, size)
        block.take_over(descriptor)
        return block

    def take_over(self, descriptor: int) -> None:
        """Let this be the block's descriptor, or close it if there is one already.

        Whoever was struck in here may call again with the same number.
        """
        with making_descriptors():
            close_in_children(self)
            if not self._numbers:
                self._numbers.append(descriptor)
            elif self._numbers[0] != descriptor:
                os.close(descriptor)

    @property
    def descriptor(self) -> int:
        """Not inherited by other programs; -1 once the block is closed."""
        return self._numbers[0] if self._numbers else -1

    @property
    def map(self) -> mmap.mmap:
        """The memory itself, shared with all others that have the block."""
        if self._map is None:
            self._map = mmap.mmap(self._open_descriptor(), self.size)
        return self._map

    def window(self) -> Window:
        """A new private look at the memory as the lender wrote it."""
        return Window(self._open_descriptor(), self.size, flags=mmap.MAP_PRIVATE, **_KEEP_NO_DESCRIPTOR)

    def write(self, data: Any, offset: int) -> int:
        """Copy bytes in; gives the offset behind them. Lets other threads run meanwhile.

        Through a mapping that is kept, if there is much to copy and NumPy is there to do it without the
        interpreter's lock; else by system calls. Measured with 32 MB: 1.9 ms to map, once, and 2.4 ms for each
        copy, against 5.4 ms.
        """
        rest = memoryview(data)
        if rest.nbytes >= _COPIED_FROM and self.size <= _MAPPED_UP_TO and self._copy_in(rest, offset):
            return offset + rest.nbytes
        while rest:
            written = os.pwrite(self.descriptor, rest, offset)
            offset += written
            rest = rest[written:]
        return offset

    def _copy_in(self, data: memoryview, offset: int) -> bool:
        numpy = sys.modules.get("numpy")
        # Another thread may be about to load it.
        as_array, copy = getattr(numpy, "frombuffer", None), getattr(numpy, "copyto", None)
        if as_array is None or copy is None:
            return False
        try:
            if self._map is None:
                self._map = mmap.mmap(
                    self._open_descriptor(), self.size, flags=_MAPPED_AT_ONCE, **_KEEP_NO_DESCRIPTOR
                )
        except OSError:  # a mapping may take a descriptor more
            return False
        copy(as_array(self._map, "u1", data.nbytes, offset), as_array(data, "u1"))
        return True

    def read_into(self, target: bytearray, offset: int) -> None:
        """Fill `target` with a copy of what is there."""
        rest = memoryview(target)
        while rest:
            count = os.preadv(self.descriptor, (rest,), offset)
            if not count:
                raise EOFError(f"block {self.id} ends before byte {offset}; it should have {self.size} bytes")
            offset += count
            rest = rest[count:]

    def spoil(self) -> None:
        """Have the lender never write into it again. In a process that has closed the block it does nothing."""
        if self._numbers:
            os.pwrite(self._numbers[0], b"\1", self.size)

    @property
    def is_spoiled(self) -> bool:
        """Whether any process has spoiled it: said by a byte behind the block's own."""
        return os.pread(self._open_descriptor(), 1, self.size) == b"\1"

    def close(self) -> None:
        """Give the descriptor back, and the memory as soon as nothing that was made from it is in use. Idempotent."""
        self._numbers.close()
        mapping, self._map = self._map, None
        if mapping is not None:
            try:
                mapping.close()
            except BufferError:  # in use: the end of its last user frees the mapping
                pass

    def _open_descriptor(self) -> int:
        # A mapping of descriptor -1 would be fresh memory full of zeros.
        if not self._numbers:
            raise ValueError(f"block {self.id} is closed")
        return self._numbers[0]

    def __del__(self) -> None:
        if hasattr(self, "_numbers"):  # an exception may strike even before they are stored
            self._numbers.close()


class Window(mmap.mmap):
    """A private mapping of a block that can carry what must live as long as the last object that looks through it.

    NumPy and others keep the object that exports the memory, which is this one, and not the `memoryview` by
    which they got at it.
    """

    lease: object = None
