"""How many bytes an object is when it travels."""

from __future__ import annotations

import pickle
from typing import Any

from phalanx._wire.refusal import PROTOCOL


class _Scales:
    """A file that keeps nothing, and a taker of buffers that copies none: something large is not held twice."""

    def __init__(self) -> None:
        self.total = 0

    def write(self, data: Any) -> int:
        self.total += memoryview(data).nbytes
        return len(data)

    def take(self, buffer: pickle.PickleBuffer) -> None:
        self.total += buffer.raw().nbytes


def pickled_size(obj: Any) -> int | None:
    """Bytes of the object's pickle, large buffers included; None if pickle refuses it. Runs users' code."""
    scales = _Scales()
    try:
        pickle.Pickler(scales, PROTOCOL, buffer_callback=scales.take).dump(obj)
    except Exception:
        return None
    return scales.total
