"""What becomes of items that failed: an exception, a record in their place, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from phalanx._engine.arrivals import Segment
from phalanx._engine.jobs import Job
from phalanx._engine.packing import Packer

RAISE, COLLECT, SKIP = "raise", "collect", "skip"


class PartialResults(Mapping[int, Any]):
    """Results of a call that raised: by item index, those that had come by then.

    Rebuilt when first looked at. Pickles as a plain dictionary.
    """

    def __init__(self, parts: list[Segment], packer: Packer) -> None:
        self._parts = parts
        self._packer: Packer | None = packer
        self._results: dict[int, Any] = {}

    def _rebuilt(self) -> dict[int, Any]:
        packer, results = self._packer, self._results
        if packer is not None:
            for part in self._parts:
                for index, (succeeded, value) in enumerate(packer.outcomes(part), part.start):
                    if succeeded:
                        results[index] = value
            self._packer, self._parts = None, []
        return results

    def __getitem__(self, index: int) -> Any:
        return self._rebuilt()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rebuilt())

    def __len__(self) -> int:
        return len(self._rebuilt())

    def __repr__(self) -> str:
        return f"<results of {len(self)} items>"

    def __reduce__(self) -> Any:
        return dict, (self._rebuilt(),)


def add_partial_results(error: BaseException, job: Job, packer: Packer) -> None:
    """Make what has come of the job reachable from the exception that ends it."""
    parts = job.arrivals.parts
    known = [parts[start] for start in sorted(parts)]
    with contextlib.suppress(AttributeError, TypeError):  # an exception class that takes no attributes
        error.partial_results = PartialResults(known, packer)  # type: ignore[attr-defined]


def is_the_items_own(error: BaseException) -> bool:
    """Whether it says something of one item, and not that no worker can run anything."""
    from phalanx._base.errors import WorkerStartFailed

    return not isinstance(error, WorkerStartFailed)


def as_record(job: Job, index: int, error: BaseException) -> Any:
    """What stands in the failed item's place when errors are collected."""
    from phalanx._base.errors import TaskError

    return TaskError(index, error, job.describe(index).text or "", job.tries.get(index, 1))
