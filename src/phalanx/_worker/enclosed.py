"""What travels with the object of a process that is started: by name if it has one there, else by value.

Pickled when the process object is, which is the only time when locks may be sent.
"""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Callable
from functools import partial
from multiprocessing import context
from multiprocessing.reduction import ForkingPickler
from typing import Any, ClassVar

from phalanx._wire.by_value import by_value_pickler, is_current
from phalanx._wire.pickling import PROTOCOL, encode_with


def enclose(
    content: Any, root: str | tuple[str, ...], is_outdated: Callable[[Any], bool] = is_current
) -> bytes:
    """The pickle of this. `root` and `is_outdated` as for `encode`. Raises what `encode` raises."""
    if is_outdated is is_current:
        popen: Any = context.get_spawning_popen()
        before = len(popen._fds)
        try:
            return bytes(ForkingPickler.dumps(content, PROTOCOL))
        except Exception:  # cloudpickle's word counts; that plain pickle had refused is no news to anybody
            del popen._fds[before:]  # of what it had come to: they are asked for once more
    return encode_with(partial(_pickler(), is_outdated=is_outdated), content, side="argument", root=root)


def _pickler() -> Any:
    # Made anew each time: what is registered with the standard library's pickler is copied into each of them, and a
    # kind of `Value` is registered when the first of it is made.
    class ForProcesses(by_value_pickler()):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap(
            ForkingPickler(io.BytesIO()).dispatch_table, by_value_pickler().dispatch_table
        )

    return ForProcesses


class Enclosed:
    """An initializer and its arguments. Becomes their pickle, which the worker rebuilds when it can ask for what its
    `__main__` lacks, and say what is wrong with it."""

    def __init__(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._content = function, args

    def __reduce__(self) -> Any:
        return bytes, (enclose(self._content, ("initializer", "initargs")),)
