"""NumPy arrays in shared memory, which every process can write to.

They travel as handles (see `shared`): to workers, within containers, as slices and views, and back. What is computed
from them is ordinary memory again, though NumPy keeps the type; so what is pickled is looked at, whether it lies in
the shared block. If not, or where nobody gathers handles, it goes by value, as an ordinary array.

Back goes the number alone if the parent knows the memory, because it has told of it and has not taken that back; else
the worker announces the block first, as it does with those of large results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex
from weakref import WeakValueDictionary

from phalanx._memory import shared
from phalanx._memory.blocks import Block
from phalanx._memory.shared import Handle
from phalanx._platform.memory import available

try:
    import numpy as np
except ImportError as error:
    raise ImportError("arrays in shared memory need NumPy: pip install 'phalanx[numpy]'") from error

Shape = SupportsIndex | Sequence[SupportsIndex]

_memories: WeakValueDictionary[int, ArrayMemory] = WeakValueDictionary()


class ArrayMemory(Handle):
    """The block behind arrays; known by the block's number in all processes."""

    __slots__ = ("base", "block", "is_borrowed", "stays")

    def __init__(self, block: Block, is_borrowed: bool) -> None:
        """`is_borrowed`: the parent has told of it, and knows what comes back."""
        self.block = block
        self.is_borrowed = is_borrowed
        self.stays = False
        """The parent cannot be told of it."""
        self.base: int = np.frombuffer(block.map, np.uint8).__array_interface__["data"][0]
        super().__init__(block.id, block.size)
        _memories[block.id] = self

    def part(self) -> None:
        self.is_borrowed = False

    def is_met(self) -> bool:
        return not (self.stays and shared.is_result()) and super().is_met()

    def offset(self, array: np.ndarray[Any, Any]) -> int | None:
        """Where in the block the array begins; None if not all of it lies there."""
        start = int(array.__array_interface__["data"][0]) - self.base
        low, high = start, start + array.itemsize
        for length, stride in zip(array.shape, array.strides, strict=True):
            if length == 0:
                return start if 0 <= start <= self.block.size else None
            low, high = low + min(0, (length - 1) * stride), high + max(0, (length - 1) * stride)
        return start if low >= 0 and high <= self.block.size else None


class SharedArray(np.ndarray[Any, Any]):
    """An array of `phalanx.empty`, `zeros` or `array`, or a view of one."""

    _memory: ArrayMemory | None = None

    def __array_finalize__(self, source: Any) -> None:
        self._memory = getattr(source, "_memory", None)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        memory = self._memory
        offset = None if memory is None else memory.offset(self)
        if memory is None or offset is None or not memory.is_met():
            return self.view(np.ndarray).__reduce_ex__(protocol)
        return attach, (memory.number, offset, self.shape, self.strides, self.dtype)


def attach(
    number: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
) -> SharedArray:
    """The array, in a process that was told of its memory."""
    memory = _memories.get(number) or shared.recall(number)
    return _over(memory, shape, dtype, offset, strides)


def _over(
    memory: ArrayMemory, shape: Any, dtype: Any, offset: int = 0, strides: tuple[int, ...] | None = None
) -> SharedArray:
    made = SharedArray(shape, dtype, memory.block.map, offset, strides)
    made._memory = memory
    found: SharedArray = made
    return found


def memory_over(block: Block) -> ArrayMemory:
    """The memory of arrays that are in this block, of which a worker has told."""
    return _memories.get(block.id) or ArrayMemory(block, is_borrowed=False)


def empty(shape: Shape, dtype: Any = float) -> SharedArray:
    """An array of this shape in shared memory, which tasks in all workers can read and write.

    It travels as a handle: neither sending nor returning it, or a slice or view of it, copies anything, also if a
    task has made it. Nobody keeps two tasks from writing to one place; give each its own part, or use a lock. The
    memory is given back when the last array that uses it is gone, in all processes.

    Args:
        shape: As for `numpy.empty`: a number of elements, or one for each dimension.
        dtype: Type of the elements; anything but Python objects.

    Raises:
        ImportError: NumPy is not installed.
        MemoryError: There is not as much memory left.
        TypeError: For elements that are Python objects.

    Example:
        >>> import phalanx
        >>> def fill(row, number):
        ...     row[:] = number
        >>> table = phalanx.empty((2, 3), int)
        >>> _ = phalanx.map(fill, table, [1, 2], workers=2)
        >>> table.tolist()
        [[1, 1, 1], [2, 2, 2]]
    """
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise TypeError(
            f"{kind} holds Python objects, which live in one process: they cannot be in shared memory"
        )
    sizes = (shape,) if isinstance(shape, SupportsIndex) else tuple(shape)
    size = kind.itemsize
    for each in sizes:
        size *= int(each)
    left = available()
    if left is not None and size > left:
        raise MemoryError(f"an array of {size} bytes, and only {left} bytes of memory are left")
    return _over(ArrayMemory(Block.make(max(size, 1)), is_borrowed=False), sizes, kind)


def zeros(shape: Shape, dtype: Any = float) -> SharedArray:
    """As `phalanx.empty`, filled with zeros."""
    return empty(shape, dtype)  # fresh memory is zero


def array(source: Any, dtype: Any = None) -> SharedArray:
    """A copy in shared memory of what `numpy.asarray(source, dtype)` makes; otherwise as `phalanx.empty`."""
    found = np.asarray(source, dtype)
    copy = empty(found.shape, found.dtype)
    copy[...] = found
    return copy


for _public in (SharedArray, empty, zeros, array):
    _public.__module__ = "phalanx"
