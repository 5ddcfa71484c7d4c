"""A worker gets its batches in the order in which they were given to it: its page counts on that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phalanx import Executor
from phalanx.futures import Future
from tests.engine.tasks import Ledger, same


class Submitting:
    """An item that submits a call while it is being packed, and arrives as 1."""

    def __init__(self, executor: Executor, ledger: Ledger) -> None:
        self._submit = lambda: executor.submit(ledger.note, 2)
        self.futures: list[Future[Any]] = []

    def __reduce__(self) -> Any:
        self.futures.append(self._submit())
        return int, (1,)


def test_a_call_does_not_overtake_items_that_are_still_being_packed(ledger: Ledger) -> None:
    """It has higher numbers than theirs; run before them, and asked back while they run, it would run twice."""
    with Executor(1, start_method="fork") as executor:
        executor.submit(same, 0).result()
        item = Submitting(executor, ledger)
        assert list(executor.map(ledger.note, [item])) == [1]
        assert [future.result() for future in item.futures] == [2]
    assert Path(ledger.path).read_text(encoding="ascii").split() == ["1", "2"]
