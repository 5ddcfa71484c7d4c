"""What many tasks use and nobody sends twice: shared objects, and arrays that all processes write to.

Both travel as *handles*, a number each. Whoever packs something for a worker gathers the handles that he meets in
it (`gathering`), and sends what they stand for before the message, unless that worker has it. In the worker, the
number in the pickle is answered from what came (`remember`).

A handle that is pickled when nobody gathers would arrive where nothing is known of it; so it refuses.
"""

from __future__ import annotations

import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from phalanx._memory.depot import Depot
from phalanx._memory.letting_go import Weight
from phalanx._memory.parcels import Loan, pack

T = TypeVar("T")


class _Gathering(threading.local):
    found: list[Handle] | None = None
    is_result = False


_here = _Gathering()
# Each handle that is alive, weakly: its end is one step of C, wherever it comes. Hot paths look at it themselves.
alive: set[weakref.ref[Handle]] = set()


class Handle:
    """Something that travels as a number."""

    __slots__ = ("__weakref__", "_weight", "number")

    def __init__(self, number: int, size: int) -> None:
        """`size`: bytes in blocks that it stands for."""
        self.number = number
        self._weight = Weight(size)
        alive.add(weakref.ref(self, alive.discard))

    def meet(self) -> None:
        """It is being pickled: whoever gathers for a task takes note.

        Raises `pickle.PicklingError` if nobody does.
        """
        if _here.found is None or _here.is_result:
            raise pickle.PicklingError(
                "what is shared travels only as (part of) an argument of a task of phalanx; a result, or "
                "something that is pickled by other means, needs a copy: send the object itself"
            )
        self.is_met()

    def part(self) -> None:
        """In a worker: the parent has forgotten it."""
        return

    def is_met(self) -> bool:
        """It is being pickled: False if nobody gathers; whoever does takes note."""
        found = _here.found
        if found is not None and all(each is not self for each in found):
            found.append(self)
        return found is not None


class Laden:
    """Something packed that needs handles to be known where it goes."""

    __slots__ = ("handles", "packed")

    def __init__(self, packed: bytes | Loan, handles: list[Handle]) -> None:
        self.packed = packed
        self.handles = handles


def handles_alive() -> bool:
    """Whether there is any handle in this process; if not, nobody has to gather."""
    return bool(alive)


def is_result() -> bool:
    """Whether what is pickled goes back to where handles came from."""
    return _here.is_result


@contextmanager
def gathering(result: bool = False) -> Iterator[list[Handle]]:
    """The handles that are pickled by this thread in here. `result`: on their way back."""
    before = _here.found, _here.is_result
    found: list[Handle] = []
    _here.found, _here.is_result = found, result
    try:
        yield found
    finally:
        _here.found, _here.is_result = before


class Shared(Handle, Generic[T]):
    """An object that was given to `phalanx.share`. Tasks that get it, also inside containers, get the object itself.

    It crosses once to each worker, whatever the number of tasks and calls, and large arrays in it are not copied
    there but mapped: read-only, so that no task changes what others see. It is released when this handle and the
    objects that workers have made of it are gone. (Tasks on threads get your own object, for handles that are
    arguments or stand right in a tuple, list or dict.)
    """

    # `__orig_class__`: what `Shared[int]` sets.
    __slots__ = ("__orig_class__", "_depot", "_object", "packed")

    def __init__(self, obj: T) -> None:
        self._depot = Depot(most_blocks=1)
        self._object = obj
        self.packed: bytes | Loan = pack(pickle.dumps, obj, self._depot)
        size = self.packed.size if type(self.packed) is Loan else 0
        super().__init__(int.from_bytes(os.urandom(8), "little") >> 1 | 1, size)

    def get(self) -> T:
        """The object, in the process that shares it."""
        return self._object

    def __reduce__(self) -> Any:
        self.meet()
        return recall, (self.number,)

    def __repr__(self) -> str:
        return f"<Shared {type(self._object).__name__}>"


def unwrap(value: Any) -> Any:
    """The object for its handle, where nothing is pickled on the way to a task.

    Also for handles that stand right in a tuple, list or dict; deeper nobody looks.
    """
    kind = type(value)
    if kind is Shared:
        return value.get()
    if kind in (tuple, list):
        return kind(map(_one, value)) if any(type(each) is Shared for each in value) else value
    if kind is dict and any(type(each) is Shared for each in value.values()):
        return {key: _one(each) for key, each in value.items()}
    return value


def _one(value: Any) -> Any:
    return value.get() if type(value) is Shared else value


Shared.__module__ = "phalanx"


def share(obj: T) -> Shared[T]:
    """Have an object sent once to each worker, however many tasks use it.

    Pickled here and now: what you change afterwards, tasks do not see. Under forkserver and spawn as under fork.

    Args:
        obj: Anything that can be pickled. Large arrays (NumPy, pandas, Arrow and whatever else offers buffers to
            pickle) are mapped in workers and not copied; there they are read-only.

    Raises:
        What pickling the object raises.

    Example:
        >>> import phalanx
        >>> table = phalanx.share({"one": 1, "two": 2})
        >>> with phalanx.Executor(2) as executor:
        ...     futures = [executor.submit(dict.get, table, key) for key in ("one", "two")]
        ...     [future.result() for future in futures]
        [1, 2]
    """
    return Shared(obj)


share.__module__ = "phalanx"


# -- in the worker


class _Kept:
    """What a worker knows of one handle: packed until it is first asked for."""

    __slots__ = ("is_made", "made", "packed")

    def __init__(self, packed: Any) -> None:
        self.packed = packed
        self.is_made = False
        self.made: Any = None

    def get(self) -> Any:
        if not self.is_made:
            packed = self.packed
            self.made = pickle.loads(packed) if type(packed) is bytes else packed.load(writable=False)
            self.is_made, self.packed = True, None
        return self.made


_known: dict[int, _Kept] = {}


def remember(number: int, packed: Any) -> None:
    """This handle stands for what was packed so: bytes or a parcel."""
    _known.setdefault(number, _Kept(packed))


def remember_array(number: int, block: Any) -> None:
    """This handle stands for the memory of arrays, in this block."""
    from phalanx._memory.arrays import ArrayMemory

    if number not in _known:
        kept = _known[number] = _Kept(None)
        kept.made, kept.is_made = ArrayMemory(block, is_borrowed=True), True


def forget(numbers: list[int]) -> None:
    """These handles will not come any more."""
    for number in numbers:
        kept = _known.pop(number, None)
        if kept is not None and isinstance(kept.made, Handle):
            kept.made.part()  # somebody here may use it still


def recall(number: int) -> Any:
    """What the handle stands for."""
    return _known[number].get()
