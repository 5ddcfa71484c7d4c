"""Random numbers that depend on a seed and the item's index, and on nothing else.

- `phalanx.worker.rng`: `SeedSequence(seed, spawn_key=(index,))`, which is what `SeedSequence(seed).spawn(n)[index]`
  is (NumPy manual, "Parallel random number generation"): streams that are independent, however many.
- `numpy.random`'s functions: seeded with eight words of the same sequence.
- `random`'s functions: seeded with the text of seed and index, of which Python takes the SHA-512 (manual of
  `random.seed`).

The last two have one state for the whole process. So it is put back after the item, and left alone where other items
run beside it, on threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from phalanx._worker import here


class Seeded:
    """`function`, with random numbers of their own for each item. Travels as any callable does."""

    def __init__(self, function: Callable[..., Any], seed: tuple[int, ...]) -> None:
        self.function = function
        self.seed = seed

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        mine = here.facts()
        before = mine.stream, mine.generator
        mine.stream, mine.generator = (self.seed, mine.index() or 0), None
        try:
            if not mine.is_alone:
                return self.function(*args, **kwargs)
            return self._with_common_state(mine.stream, args, kwargs)
        finally:
            mine.stream, mine.generator = before

    def _with_common_state(self, stream: here.Stream, args: Any, kwargs: Any) -> Any:
        seed, index = stream
        numpy = _numpy()
        state, legacy = random.getstate(), None if numpy is None else numpy.random.get_state()
        try:
            random.seed(f"{seed} {index}")
            if numpy is not None:
                words = numpy.random.SeedSequence(list(seed), spawn_key=(index,)).generate_state(8)
                numpy.random.seed(words)
            return self.function(*args, **kwargs)
        finally:
            random.setstate(state)
            if numpy is not None:
                numpy.random.set_state(legacy)


def _numpy() -> Any:
    """NumPy, if it is installed: a task that imports it later would else draw numbers that nobody has seeded."""
    try:
        import numpy as np
    except ImportError:
        return None
    return np
