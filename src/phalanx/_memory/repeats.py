"""What is repeated in a sequence, and need not be copied again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phalanx._memory.parcels import Loan


class Repeats:
    """What lies in the block that was filled last: a batch that has nothing else in it needs no other.

    Of a sequence only, whose items are all there from the beginning: so one that comes again is the same, and what
    the first copy was made of is what tasks see, whatever becomes of it meanwhile. Buffers are told apart by the
    object that offers them, which is kept alive, so that no other can be taken for it.
    """

    __slots__ = ("_buffers", "_loan", "_spans")

    def __init__(self) -> None:
        self._loan: Loan | None = None
        self._buffers: list[memoryview] = []
        self._spans: dict[tuple[int, int], tuple[int, int]] = {}

    def keep(self, loan: Loan, buffers: list[memoryview], spans: list[tuple[int, int]]) -> None:
        """These lie there in this loan's block."""
        # In this order: struck in between, nothing is found.
        self._spans = {}
        self._loan, self._buffers = loan, buffers
        self._spans = dict(zip(map(_identity, buffers), spans, strict=True))

    def find(self, buffers: list[memoryview]) -> tuple[Loan, list[tuple[int, int]]] | None:
        """The loan in whose block all of these lie, and where; None if one does not."""
        spans = [self._spans.get(_identity(buffer)) for buffer in buffers]
        if self._loan is None or None in spans:
            return None
        return self._loan, spans  # type: ignore[return-value]


def _identity(buffer: memoryview) -> tuple[int, int]:
    return id(buffer.obj), buffer.nbytes
