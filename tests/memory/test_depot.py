"""The depot: blocks are lent, reused warm, and given up when there are too many."""

from __future__ import annotations

import gc
import os
import resource
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from phalanx._memory.blocks import Block
from phalanx._memory.depot import Depot, Taker, rounded

PLENTY = 1 << 40
KB = 1024


@pytest.fixture
def depot() -> Iterator[Depot]:
    made = Depot(left=lambda: PLENTY)
    yield made
    made.close()


def taken(depot: Depot, size: int) -> Block:
    block = depot.take(size)
    assert block is not None
    return block


def test_a_block_that_was_let_go_is_lent_again(depot: Depot) -> None:
    first = taken(depot, 100 * KB)
    second = taken(depot, 100 * KB)
    assert first.id != second.id
    depot.let_go(first.id)
    assert taken(depot, 99 * KB).id == first.id


def test_a_block_stays_lent_until_its_last_user_lets_go(depot: Depot) -> None:
    block = taken(depot, 100 * KB)
    depot.hold(block.id)
    depot.let_go(block.id)
    assert depot.lent_bytes == block.size
    assert taken(depot, 100 * KB).id != block.id
    depot.let_go(block.id)
    assert depot.idle_bytes == block.size
    assert taken(depot, 100 * KB).id == block.id


def test_the_smallest_block_that_fits_is_taken(depot: Depot) -> None:
    large, small = taken(depot, 160 * KB), taken(depot, 128 * KB)
    depot.let_go(small.id)
    depot.let_go(large.id)
    assert taken(depot, 100 * KB).id == small.id


def test_a_block_is_not_wasted_on_what_is_less_than_half_of_it(depot: Depot) -> None:
    block = taken(depot, 1024 * KB)
    depot.let_go(block.id)
    assert taken(depot, 400 * KB).id != block.id
    assert taken(depot, 600 * KB).id == block.id


def test_sizes_are_rounded_so_that_similar_ones_are_equal() -> None:
    assert rounded(1) == 4096
    assert rounded(1 << 20) == 1 << 20
    assert rounded((1 << 20) + 1) == 5 << 18
    assert all(size <= rounded(size) <= max(1.25 * size, size + 4096) for size in range(1, 300_000, 77))
    assert len({rounded(size) for size in range(1 << 20, 1 << 21)}) == 5


def test_letting_go_of_the_unknown_and_of_the_idle_is_harmless(depot: Depot) -> None:
    block = taken(depot, 100 * KB)
    for _ in range(3):
        depot.let_go(block.id)
        depot.let_go(12345)
    again = taken(depot, 100 * KB)
    assert again.id == block.id
    assert depot.lent_bytes == block.size
    assert depot.trimmed() == []


def test_no_block_is_made_of_more_than_half_of_what_is_left() -> None:
    depot = Depot(left=lambda: 2 * KB * KB)
    assert depot.take(2 * KB * KB) is None
    assert depot.refusals == 1
    assert depot.take(KB * KB) is not None
    depot.close()


def test_idle_blocks_make_room_where_memory_is_short() -> None:
    left = [PLENTY]
    depot = Depot(left=lambda: left[0])
    block = taken(depot, KB * KB)
    depot.let_go(block.id)
    left[0] = KB * KB
    assert depot.take(4 * KB * KB) is None
    assert depot.idle_bytes == 0
    assert depot.trimmed() == [block.id]
    depot.close()


def test_no_descriptors_no_block(depot: Depot) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert depot.take(100 * KB) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert depot.refusals == 1


def test_there_are_never_more_blocks_than_were_allowed() -> None:
    depot = Depot(3, left=lambda: PLENTY)
    blocks = [taken(depot, 100 * KB) for _ in range(3)]
    assert depot.take(100 * KB) is None
    assert depot.refusals == 1
    depot.let_go(blocks[1].id)
    assert taken(depot, 1000 * KB).id != blocks[1].id  # it was given up: no other size fits in
    assert depot.trimmed() == [blocks[1].id]
    depot.close()


def test_idle_blocks_beyond_the_bound_are_given_up_least_recently_used_first() -> None:
    depot = Depot(left=lambda: 400_000_000)  # an eighth of it is less than the 64 MB that are always kept
    blocks = [taken(depot, 20_000_000) for _ in range(4)]
    for block in (blocks[2], blocks[0], blocks[1]):
        depot.let_go(block.id)
    assert depot.trimmed() == []
    assert depot.idle_bytes == sum(block.size for block in blocks[:3])
    depot.let_go(blocks[3].id)
    assert depot.trimmed() == [blocks[2].id]
    assert depot.trimmed() == []
    assert blocks[2].descriptor == -1
    depot.close()


def test_a_block_that_a_forked_child_may_see_is_never_lent_again(depot: Depot) -> None:
    block = taken(depot, 100 * KB)
    depot.hold(block.id)
    Block.adopt(block.id, block.size, os.dup(block.descriptor)).spoil()
    depot.let_go(block.id)
    depot.let_go(block.id)
    assert depot.trimmed() == [block.id]
    assert taken(depot, 100 * KB).id != block.id


def test_a_closed_depot_lends_nothing(depot: Depot) -> None:
    block = taken(depot, 100 * KB)
    depot.close()
    depot.close()
    assert block.descriptor == -1
    assert depot.take(100 * KB) is None
    depot.let_go(block.id)
    assert (depot.lent_bytes, depot.idle_bytes) == (0, 0)


def test_a_taker_knows_its_block(depot: Depot) -> None:
    taker = Taker()
    block = depot.take(100 * KB, taker)
    assert block is not None
    assert taker.block_id == block.id


def test_a_finalizer_that_runs_in_the_midst_of_it_waits_for_nothing() -> None:
    """Garbage may be collected anywhere, and its finalizers may send things themselves."""
    seen: list[object] = []

    depot = Depot(left=lambda: PLENTY)
    block = taken(depot, 100 * KB)
    with depot._lock:
        seen.append(depot.take(100 * KB))
        depot.let_go(block.id)
        seen.append(depot.lent_bytes)
        seen.append(depot.trimmed())
    assert seen == [None, block.size, []]
    assert depot.lent_bytes == 0
    depot.close()


def test_the_depot_of_a_parent_lends_nothing_to_a_forked_child(depot: Depot) -> None:
    block = taken(depot, 100 * KB)
    depot.let_go(block.id)
    pid = os.fork()
    if not pid:
        os._exit(0 if depot.take(100 * KB) is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert taken(depot, 100 * KB).id == block.id


def test_threads_never_share_a_block(depot: Depot) -> None:
    owners: dict[int, int] = {}
    clashes: list[int] = []

    def body(me: int) -> None:
        for turn in range(200):
            block = depot.take((turn % 4 + 1) * 40 * KB)
            if block is None:
                continue
            if owners.setdefault(block.id, me) != me:
                clashes.append(block.id)
            owners.pop(block.id, None)
            depot.let_go(block.id)

    threads = [threading.Thread(target=body, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not clashes
    assert depot.lent_bytes == 0


class Lending(RuleBasedStateMachine):
    """Any sequence of taking, holding and letting go, against counts in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.depot = Depot(6, left=lambda: PLENTY)
        self.users: dict[int, int] = {}
        self.spoiled: set[int] = set()
        self.gone: set[int] = set()

    @rule(size=st.sampled_from([1, 50 * KB, 60 * KB, 90 * KB, 200 * KB]))
    def take(self, size: int) -> None:
        block = self.depot.take(size)
        if block is None:
            assert len(self.users) == 6
            return
        assert block.size >= size
        assert block.id not in self.users
        assert block.id not in self.gone | self.spoiled
        self.users[block.id] = 1

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        if self.users:
            block_id = data.draw(st.sampled_from(list(self.users)))
            self.depot.hold(block_id)
            self.users[block_id] += 1

    @rule(data=st.data(), for_ever=st.booleans())
    def let_go(self, data: st.DataObject, for_ever: bool) -> None:
        if self.users:
            block_id = data.draw(st.sampled_from(list(self.users)))
            if for_ever:
                self.spoiled.add(block_id)
                self.depot._entries[block_id].block.spoil()
            self.depot.let_go(block_id)
            self.users[block_id] -= 1
            if not self.users[block_id]:
                del self.users[block_id]

    @rule()
    def forget(self) -> None:
        gone = self.depot.trimmed()
        assert len(set(gone)) == len(gone)
        assert not self.gone & set(gone)
        self.gone |= set(gone)

    @invariant()
    def what_is_lent_is_what_has_users(self) -> None:
        lent = {i: e.users for i, e in self.depot._entries.items()} if not self.depot.posted else None
        if lent is not None:
            assert {i: users for i, users in lent.items() if users} == self.users
        assert len(self.depot._entries) <= 6

    def teardown(self) -> None:
        self.depot.close()
        assert self.depot.lent_bytes == self.depot.idle_bytes == 0
        gc.collect()


TestLending = Lending.TestCase
TestLending.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
TestLending.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
