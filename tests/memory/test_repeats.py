"""What comes again in a sequence is not copied again, and is what it was when it was first copied."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from phalanx._memory import Loan, Repeats, pack
from tests.memory.crossing import Crossing

SIZE = 100_000


@pytest.fixture
def crossing() -> Any:
    crossing = Crossing()
    yield crossing
    crossing.close()


def lend(crossing: Crossing, obj: Any, repeats: Repeats) -> Loan:
    loan = pack(pickle.dumps, obj, crossing.depot, repeats)
    assert isinstance(loan, Loan)
    return loan


def test_the_same_array_again_lies_in_the_same_block(crossing: Crossing) -> None:
    array, repeats = np.arange(SIZE), Repeats()
    first = lend(crossing, [array, 1], repeats)
    second = lend(crossing, [(array, 2), array], repeats)
    assert second.block is first.block
    assert (first.size > SIZE, second.size) == (True, 0)
    (one, number), other = crossing.open(second).load()
    assert one is other
    assert number == 2
    np.testing.assert_array_equal(one, array)


def test_the_block_is_in_use_until_nobody_needs_it(crossing: Crossing) -> None:
    array, repeats = np.arange(SIZE), Repeats()
    loans = [lend(crossing, [array], repeats) for _ in range(3)]
    block = loans[0].block
    del loans[0]
    parcel = crossing.open(loans.pop())
    del loans, repeats
    assert crossing.depot.lent_bytes == block.size
    del parcel
    crossing.settle()
    assert crossing.depot.lent_bytes == 0


def test_what_was_first_copied_is_what_arrives(crossing: Crossing) -> None:
    array, repeats = np.zeros(SIZE), Repeats()
    lend(crossing, [array], repeats)
    array[:] = 1
    assert not crossing.open(lend(crossing, [array], repeats)).load()[0].any()


def test_each_batch_has_a_writable_array_of_its_own(crossing: Crossing) -> None:
    array, repeats = np.zeros(SIZE), Repeats()
    lend(crossing, [array], repeats)
    loans = [lend(crossing, [array], repeats) for _ in range(2)]
    one, other = (crossing.open(loan).load()[0] for loan in loans)
    one[:] = 1
    assert not other.any()


def test_another_array_needs_another_copy(crossing: Crossing) -> None:
    repeats = Repeats()
    first = lend(crossing, [np.zeros(SIZE)], repeats)
    # Its predecessor is gone for the caller: it might lie at the same place and have the same identity.
    second = lend(crossing, [np.ones(SIZE)], repeats)
    assert second.block is not first.block
    assert crossing.open(second).load()[0].all()


def test_some_of_what_came_before_is_found_too(crossing: Crossing) -> None:
    left, right, repeats = np.zeros(SIZE), np.ones(SIZE), Repeats()
    first = lend(crossing, [left, right], repeats)
    second = lend(crossing, [right], repeats)
    assert second.block is first.block
    assert crossing.open(second).load()[0].all()


def test_without_a_block_all_is_sent(crossing: Crossing) -> None:
    array, repeats = np.zeros(SIZE), Repeats()
    crossing.depot.close()
    packed = pack(pickle.dumps, [array], crossing.depot, repeats)
    assert isinstance(packed, bytes)
    assert not pickle.loads(packed)[0].any()
