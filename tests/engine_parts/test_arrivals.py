"""What has arrived, what is missing, and what of it somebody still holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phalanx._engine.arrivals import LOCAL, Arrivals, Segment, subtract

TOTAL = 40


def segment(start: int, stop: int, body: object = b"") -> Segment:
    return Segment(start, stop, LOCAL, body)


def spread(ranges: list[tuple[int, int]]) -> set[int]:
    return {index for start, stop in ranges for index in range(start, stop)}


@st.composite
def cuts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """0..TOTAL cut into consecutive ranges."""
    at = sorted(draw(st.sets(st.integers(1, TOTAL - 1), max_size=12)) | {0, TOTAL})
    return list(itertools.pairwise(at))


def test_nothing_has_arrived_yet() -> None:
    arrivals = Arrivals()
    assert list(arrivals.missing(5)) == [(0, 5)]
    assert list(arrivals.missing(0)) == []


def test_taking_in_order_leaves_nothing_behind() -> None:
    arrivals = Arrivals()
    for start in range(0, 30, 10):
        part = segment(start, start + 10)
        arrivals.add(part)
        arrivals.take(part)
    assert arrivals.base == 30
    assert not arrivals.parts
    assert list(arrivals.missing(35)) == [(30, 35)]


def test_taking_out_of_order_waits_for_the_gap() -> None:
    arrivals = Arrivals()
    first, second, third = segment(0, 2), segment(2, 5), segment(5, 6)
    for part in (third, second, first):
        arrivals.add(part)
    arrivals.take(third)
    arrivals.take(second)
    assert arrivals.base == 0
    assert list(arrivals.missing(6)) == []
    arrivals.take(first)
    assert (arrivals.base, arrivals.parts) == (6, {})


class TakenWhileRead(dict[int, Segment]):
    """Somebody takes a part before, or after, another thread looks at all of them."""

    def __init__(self, arrivals: Arrivals, first: bool) -> None:
        self.arrivals = arrivals
        self.first = first

    def _all(self, what: Any) -> Any:
        if self.first:
            self.arrivals.take(self[self.arrivals.base])
        found = list(what())
        if not self.first:
            self.arrivals.take(self[self.arrivals.base])
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._all(super().keys))

    def items(self) -> Any:
        return self._all(super().items)


@pytest.mark.parametrize("first", [True, False])
def test_what_is_taken_while_somebody_looks_is_not_missing(first: bool) -> None:
    arrivals = Arrivals()
    arrivals.parts = TakenWhileRead(arrivals, first)
    arrivals.add(segment(0, 5))
    arrivals.add(segment(7, 9))
    assert list(arrivals.missing(10)) == [(5, 7), (9, 10)]
    assert arrivals.base == 5


def test_what_comes_again_while_it_is_taken_stays_taken() -> None:
    arrivals = Arrivals()
    known = segment(0, 5)

    class Parts(dict[int, Segment]):
        def setdefault(self, key: int, default: Any = None) -> Any:
            arrivals.take(known)
            return super().setdefault(key, default)

    arrivals.parts = Parts({0: known})
    arrivals.add(segment(0, 5))
    assert (arrivals.base, arrivals.parts) == (5, {})


def test_what_comes_twice_counts_once() -> None:
    arrivals = Arrivals()
    first, again = segment(0, 3, "first"), segment(0, 3, "again")
    arrivals.add(first)
    arrivals.add(again)
    assert arrivals.parts[0] is first
    arrivals.take(first)
    arrivals.add(again)
    assert (arrivals.base, arrivals.parts) == (3, {})


def test_taking_twice_is_taking_once() -> None:
    arrivals = Arrivals()
    part = segment(0, 3, "body")
    arrivals.add(part)
    arrivals.take(part)
    arrivals.take(part)
    assert (arrivals.base, part.body) == (3, None)


@given(cuts(), st.randoms(use_true_random=False), st.data())
def test_missing_is_what_has_not_arrived(
    parts: list[tuple[int, int]], random: st.randoms, data: st.DataObject
) -> None:
    arrivals = Arrivals()
    random.shuffle(parts)
    count = data.draw(st.integers(0, len(parts)))
    here = [segment(*part) for part in parts[:count]]
    for each in here:
        arrivals.add(each)
        if random.random() < 0.3:
            arrivals.add(segment(each.start, each.stop))
    for each in random.sample(here, random.randint(0, len(here))):
        arrivals.take(each)
    assert spread(list(arrivals.missing(TOTAL))) == spread(parts[count:])
    taken = {index for each in here if each.taken for index in range(each.start, each.stop)}
    assert set(range(arrivals.base)) <= taken


RANGES = st.lists(
    st.tuples(st.integers(0, TOTAL), st.integers(0, TOTAL)).map(lambda pair: (min(pair), max(pair))),
    max_size=8,
)


@given(cuts(), RANGES, st.data())
def test_subtracting_ranges_is_subtracting_sets(
    parts: list[tuple[int, int]], held: list[tuple[int, int]], data: st.DataObject
) -> None:
    chosen = [part for part in parts if data.draw(st.booleans())]
    left = subtract(iter(chosen), held)
    assert spread(left) == spread(chosen) - spread(held)
    assert all(start < stop for start, stop in left)
    assert sum(stop - start for start, stop in left) == len(spread(left))
