"""What this process's `__main__` lacks: asked of the parent when something that came needs it.

A worker that was started as a new interpreter has what the main program's file defines, and nothing of a program
that has no file, or of what was defined since. Objects name such things all the same. So what cannot be rebuilt for
want of a name is tried once more, and whatever `__main__` is then found to lack is asked for: the parent sends it by
value, and it takes its place here, once for all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from phalanx._wire import frames
from phalanx._wire.by_value import MAINS
from phalanx._wire.pickling import decode, decode_error

if TYPE_CHECKING:
    from phalanx._worker.loop import Inlet

_HOOK = "__getattr__"  # Python manual, "Customizing module attribute access"


class Wanting:
    """Asks the parent, and waits for the answer."""

    def __init__(self, send: Callable[[bytes], object], inlet: Inlet) -> None:
        self._send = send
        self._inlet = inlet
        self._thread = threading.get_ident()
        self._asked: set[str] = set()

    def load(self, error: AttributeError, load: Callable[[], Any]) -> Any:
        """What `load` makes, which has raised `error`, when it can ask for what is missing."""
        if not any(name in str(error) for name in MAINS):
            raise error
        names = vars(sys.modules["__main__"])
        before = names.get(_HOOK)
        names[_HOOK] = lambda name: self._find(name, before)
        try:
            return load()
        finally:
            if before is None:
                del names[_HOOK]
            else:
                names[_HOOK] = before

    def _find(self, name: str, otherwise: Callable[[str], Any] | None) -> Any:
        is_ours = threading.get_ident() == self._thread and not name.startswith("__")
        if is_ours and name not in self._asked:
            self._asked.add(name)
            try:
                answer = self._ask(name)
                if answer[0] == frames.ERROR:  # the parent has it, and cannot send it
                    raise decode_error(answer[1])[0]
                if answer[0] == frames.VALUE:
                    return vars(sys.modules["__main__"]).setdefault(name, decode(answer[1]))
            finally:
                self._asked.discard(name)
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module '__main__' has no attribute {name!r}")

    def _ask(self, name: str) -> tuple[int, memoryview]:
        self._send(frames.pack_frame(frames.WANT, name.encode()))
        return frames.unpack_definition(self._inlet.take_ahead(frames.DEFINITION))
