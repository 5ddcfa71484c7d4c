"""Running items: what is claimed, what is taken back, what comes of items that fail."""

from __future__ import annotations

import gc
import itertools
import pickle
import threading
import weakref
from typing import Any, ClassVar

import pytest

from phalanx._base.page import CLAIM, CURRENT, LIMIT
from phalanx._wire import frames
from phalanx._wire.frames import EACH, SKIPPED, STAR, WHOLE
from phalanx._worker import outlet, runner
from phalanx.errors import NotSendable
from tests.worker.pair import UNDECODABLE, Pair

HOOKS: dict[str, Any] = {}


def double(x: Any) -> Any:
    return 2 * x


def hooked(x: Any) -> Any:
    """What the test wants to happen while the item runs."""
    return HOOKS["hook"](x)


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def in_a_list(x: Any) -> list[Any]:
    return [x]


def make_lock(x: Any) -> Any:
    return threading.Lock() if x == 2 else x


class Bomb:
    """Cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("boom")


@pytest.fixture(params=["pickled", "direct"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(direct=request.param == "direct")


# -- values


def test_items_in_order(pair: Pair) -> None:
    pair.learn(1, double)
    pair.map(1, range(1000))
    assert pair.values() == list(range(0, 2000, 2))
    assert [(m.batch, m.ended) for m in pair.messages()] == [(1, True)]


def test_star_items(pair: Pair) -> None:
    pair.learn(1, pow)
    pair.map(1, [(2, 3), (3, 2)], style=STAR)
    assert pair.values() == [8, 9]


def test_calls_with_functions_of_their_own(pair: Pair) -> None:
    pair.call((pow, (2, 5), {}), (int, ("ff",), {"base": 16}), (dict, (), {"self": 1, "fn": 2}))
    assert pair.values() == [32, 255, {"self": 1, "fn": 2}]


def test_calls_of_functions_that_are_known(pair: Pair) -> None:
    pair.learn(7, double)
    pair.call((7, pair.packer.call((b"21",), {})))
    assert pair.values() == [b"2121"]


def test_calls_whose_arguments_came_together() -> None:
    pair = Pair()
    pair.learn(7, pow)
    pair.call_listed(7, [2, 5], ["2", 5], [3, 2])
    (first, failed, last), [message] = pair.outcomes(), pair.messages()
    assert (first, last) == ((True, 32), (True, 9))
    assert isinstance(failed[1], TypeError)
    assert "phalanx: item 1: '2', 5, in worker process" in failed[1].__notes__[-1]
    assert (message.count, message.ended) == (3, True)


def test_calls_whose_arguments_came_together_are_claimed_one_by_one() -> None:
    """So that each of them can be cancelled until it begins."""
    pair = Pair()

    def third_is_taken_back(number: int) -> int:
        if number == 1:
            assert pair.page[CLAIM] == 2
            pair.page[LIMIT] = 2
        return number

    HOOKS["hook"] = third_is_taken_back
    pair.learn(1, hooked)
    pair.call_listed(1, [0], [1], [2])
    assert pair.values() == [0, 1]


def test_a_forgotten_number_fails_its_items_only(pair: Pair) -> None:
    pair.learn(1, double)
    pair.forget(1)
    pair.map(1, [1, 2])
    pair.learn(2, double)
    pair.map(2, [3])
    assert [succeeded for succeeded, _ in pair.outcomes()] == [False, False, True]


def test_skipped_calls_are_answered_and_not_run(pair: Pair) -> None:
    pair.call((double, (1,), {}), (SKIPPED, b""), (double, (3,), {}))
    [message] = pair.messages()
    assert [tag == SKIPPED for tag, _ in message.body] == [False, True, False]


def test_plain_results_go_as_one_pickle_others_one_by_one() -> None:
    pair = Pair()
    pair.learn(1, double)
    pair.learn(2, in_a_list)
    pair.map(1, [1, 2.5, "a", b"b", True])
    pair.map(2, [1, 2])
    assert [m.form for m in pair.messages()] == [WHOLE, EACH]
    assert pair.values() == [2, 5.0, "aa", b"bb", 2, [1], [2]]


def test_subclasses_of_plain_types_keep_their_type(pair: Pair) -> None:
    pair.learn(1, double)
    pair.learn(2, bool)
    pair.map(2, [0, 1])
    pair.map(1, [Pickled(3)])
    assert [type(value) for value in pair.values()] == [bool, bool, Pickled]


class Pickled(int):
    def __rmul__(self, other: int) -> Pickled:
        return Pickled(other * int(self))


def test_nothing_of_a_direct_batch_is_copied() -> None:
    pair, thing = Pair(direct=True), object()
    pair.learn(1, in_a_list)
    pair.map(1, [thing])
    assert pair.values()[0][0] is thing


# -- failures


def test_an_item_that_raises_harms_no_other(pair: Pair) -> None:
    pair.learn(1, fail_on_three)
    pair.map(1, range(6), start=100)
    outcomes = pair.outcomes()
    assert [value for succeeded, value in outcomes if succeeded] == [0, 1, 2, 4, 5]
    error = outcomes[3][1]
    assert (type(error), error.args) == (ValueError, ("three",))
    assert [note for note in error.__notes__ if "item 103: 3," in note]


def test_a_remote_traceback_starts_in_the_users_code() -> None:
    pair = Pair()
    pair.learn(1, fail_on_three)
    pair.map(1, [3])
    trace = str(pair.outcomes()[0][1].__cause__)
    assert 'raise ValueError("three")' in trace
    assert "_worker" not in trace


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_even_an_exit_is_the_items_own(pair: Pair, kind: type[BaseException]) -> None:
    def leave(x: int) -> int:
        if x == 1:
            raise kind("out")
        return x

    HOOKS["hook"] = leave
    pair.learn(1, hooked)
    pair.map(1, [0, 1, 2])
    pair.call((leave if pair.packer.keeps_objects else hooked, (1,), {}))
    assert [(ok, type(value)) for ok, value in pair.outcomes()] == [
        (True, int),
        (False, kind),
        (True, int),
        (False, kind),
    ]


def test_results_that_cannot_travel_fail_their_item_only() -> None:
    pair = Pair()
    pair.learn(1, make_lock)
    pair.map(1, range(4))
    pair.call((make_lock, (2,), {}), (make_lock, (1,), {}))
    outcomes = pair.outcomes()
    assert [ok for ok, _ in outcomes] == [True, True, False, True, False, True]
    for at in (2, 4):
        assert isinstance(outcomes[at][1], NotSendable)
        assert outcomes[at][1].side == "result"


def test_the_page_names_the_item_while_its_result_is_pickled() -> None:
    pair, seen = Pair(), []

    class Watched:
        def __init__(self, x: int) -> None:
            self.x = x

        def __reduce__(self) -> Any:
            seen.append((self.x, pair.page.current))
            return int, (self.x,)

    HOOKS["hook"] = lambda x: Watched(x) if x % 2 else x
    pair.learn(1, hooked)
    pair.map(1, range(6))
    assert seen == [(1, 2), (3, 4), (5, 6)]
    assert pair.values() == list(range(6))
    assert pair.page.last_begun == 6


def test_an_item_that_cannot_be_rebuilt_sends_the_batch_back() -> None:
    pair = Pair()
    pair.learn(1, double)
    batch = pair.map(1, [1, Bomb(), 3])
    assert pair.sent == [(UNDECODABLE, batch)]
    assert pair.page.current == 0


def test_a_batch_of_one_that_cannot_be_rebuilt_fails_its_item() -> None:
    pair = Pair()
    pair.learn(1, double)
    pair.map(1, [Bomb()], start=7)
    [(succeeded, error)] = pair.outcomes()
    assert not succeeded
    assert str(error) == "boom"
    assert "item 7" in error.__notes__[0]


def test_while_several_outcomes_are_written_the_page_names_no_item() -> None:
    pair = Pair()
    pair.learn(1, double)
    seen: list[int] = []
    send = pair.outlet._send

    def look(frame: Any) -> None:
        seen.append(pair.page.current)
        send(frame)

    pair.outlet._send = look
    pair.map(1, [1, 2, 3])
    pair.map(1, [4])
    pair.call((pow, (2, 2), {}), (pow, (2, 3), {}))
    pair.call((pow, (2, 4), {}))
    assert seen == [0, 4, 0, 7]
    assert pair.values() == [2, 4, 6, 8, 4, 8, 16]


def test_an_item_that_comes_alone_and_cannot_be_rebuilt_fails_by_itself() -> None:
    pair = Pair()
    pair.learn(1, double)
    pieces = [(frames.VALUE, pickle.dumps(item)) for item in (1, Bomb(), 3)]
    pair.run(0, 3, 1, frames.SINGLE, EACH, pieces)
    outcomes = pair.outcomes()
    assert [ok for ok, _ in outcomes] == [True, False, True]
    assert str(outcomes[1][1]) == "boom"


def test_an_item_that_could_not_be_packed_fails_in_its_place() -> None:
    pair = Pair()
    pair.learn(1, in_a_list)
    pair.map(1, [1, threading.Lock(), 3])
    outcomes = pair.outcomes()
    assert [ok for ok, _ in outcomes] == [True, False, True]
    assert isinstance(outcomes[1][1], NotSendable)


def test_a_function_that_cannot_be_rebuilt_fails_each_item() -> None:
    pair = Pair()
    pair.runner.learn(1, pickle.dumps(Bomb()))
    pair.map(1, range(3))
    assert [str(value) for ok, value in pair.outcomes() if not ok] == ["boom"] * 3


# -- exceptions that strike between items


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("at", range(5))
def test_an_exception_as_an_item_begins_is_that_items_own(at: int, stored: bool) -> None:
    """As a signal handler of the task's own might raise, before or after the item's number is in the page."""
    pair, ran = Pair(), []
    HOOKS["hook"] = lambda x: ran.append(x) or x

    def strike(word: int, value: int) -> None:
        if word == CURRENT and value == at + 1:
            pair.page.on_write = lambda word, value: None
            if not stored:
                pair.page.words[CURRENT] = at
            raise InterruptedError("between")

    pair.page.on_write = strike
    pair.learn(1, hooked)
    pair.runner._claims[1] = 3
    pair.map(1, range(5))
    outcomes = pair.outcomes()
    assert [value for ok, value in outcomes if ok] == ran == [x for x in range(5) if x != at]
    assert isinstance(outcomes[at][1], InterruptedError)
    assert f"item {at}: {at}," in outcomes[at][1].__notes__[0]
    assert pair.page.last_begun == 5


def test_an_exception_after_an_item_fails_the_next() -> None:
    pair, ran = Pair(), []
    HOOKS["hook"] = lambda x: ran.append(x) or x

    class Striking(list[Any]):
        def append(self, value: Any) -> None:
            super().append(value)
            if value == 1:
                raise InterruptedError("after")

    begin = pair.outlet.begin

    def begin_striking(batch: int) -> list[Any]:
        begin(batch)
        pair.outlet._outcomes = Striking()
        return pair.outlet._outcomes

    pair.outlet.begin = begin_striking  # type: ignore[method-assign]
    pair.learn(1, hooked)
    pair.runner._claims[1] = 5
    pair.map(1, range(5))
    assert [ok for ok, _ in pair.outcomes()] == [True, True, False, True, True]
    assert ran == [0, 1, 3, 4]


# -- claims


def test_a_lowered_limit_keeps_items_from_starting(pair: Pair) -> None:
    ran: list[int] = []

    def lower(x: int) -> int:
        ran.append(x)
        if x == 0:
            pair.page.limit = 2
        return x

    HOOKS["hook"] = lower
    pair.learn(1, hooked)
    pair.map(1, range(10))
    assert ran == list(range(len(ran)))
    # What was claimed before may run, and the page says so.
    assert pair.page.claim == max(2, len(ran))
    assert pair.values() == ran
    assert [m.ended for m in pair.messages()][-1]


def test_a_limit_that_is_lowered_before_leaves_an_empty_answer(pair: Pair) -> None:
    pair.learn(1, double)
    pair.page.limit = 0
    pair.map(1, range(5))
    [message] = pair.messages()
    assert (message.count, message.ended) == (0, True)
    assert pair.page.current == 0


def test_a_batch_behind_the_limit_does_not_move_the_claim_over_what_was_taken_back(pair: Pair) -> None:
    """Else the parent, if it looked again, would count what it has given to others as begun here."""
    pair.page.limit = 2
    pair.learn(1, double)
    pair.map(1, range(5))
    pair.map(1, range(5))
    pair.call((double, (1,), {}))
    assert pair.page.claim == 2
    assert [message.count for message in pair.messages()] == [2, 0, 0]


def test_the_claim_is_stored_before_the_limit_is_read(pair: Pair) -> None:
    """Else the parent could take back, after it read the claim, what the worker then starts."""
    log: list[tuple[str, int]] = []
    pair.page.on_write = lambda word, value: log.append(("write", word))
    pair.page.on_read = lambda word: log.append(("read", word))
    pair.learn(1, double)
    pair.map(1, range(3))
    reads = [at for at, entry in enumerate(log) if entry == ("read", LIMIT)]
    assert reads
    for at in reads:
        assert log[at - 1] == ("write", CLAIM)


@pytest.mark.parametrize("moment", range(12))
def test_parent_and_worker_agree_whenever_the_limit_falls(moment: int) -> None:
    """The parent takes back at each possible moment; what it counts as not started never runs."""
    pair = Pair()
    ran: list[int] = []
    taken: list[int] = []
    steps = 0

    def step(*_: int) -> None:
        nonlocal steps
        steps += 1
        if steps == moment + 1:
            # As `Worker.lower_limit`: store, then read.
            pair.page.words[LIMIT] = 1
            taken.append(max(1, pair.page.claim))

    pair.page.on_write = step
    pair.page.on_read = step
    HOOKS["hook"] = lambda x: ran.append(x) or x
    pair.learn(1, hooked)
    pair.map(1, range(4))
    assert ran == list(range(len(ran)))
    if taken:
        assert len(ran) <= taken[0]
    assert pair.values() == ran


def test_calls_are_claimed_one_by_one(pair: Pair) -> None:
    claims: list[int] = []
    pair.page.on_write = lambda word, value: claims.append(value) if word == CLAIM else None
    pair.call(*[(double, (n,), {}) for n in range(4)])
    assert claims == [1, 2, 3, 4]


def test_giving_back_while_an_item_runs_leaves_the_tail_to_others() -> None:
    """The flusher gives the rest of a large claim back; the parent may then take it, or leave it here."""
    pair = Pair()
    seen: list[int] = []

    def long_one(x: int) -> int:
        seen.append(x)
        if x == 500:
            assert pair.page.claim > 501
            pair.runner.give_back()
            assert pair.page.claim == 501
            pair.page.limit = 501
        return x

    HOOKS["hook"] = long_one
    pair.learn(1, hooked)
    pair.runner._claims[1] = 1000
    pair.map(1, range(1000))
    assert seen == list(range(501))
    assert pair.values() == seen


def test_what_is_given_back_is_told_even_if_no_result_is_ready() -> None:
    """Else the parent, who was told that all was claimed, would not ask again."""
    pair = Pair()

    def long_one(x: int) -> int:
        if x == 0:
            pair.loop._look()
            pair.loop._look()
        return x

    HOOKS["hook"] = long_one
    pair.learn(1, hooked)
    pair.runner._claims[1] = 1000
    pair.map(1, range(10))
    assert [(m.count, m.ended) for m in pair.messages()] == [(0, False), (10, True)]
    assert pair.values() == list(range(10))


@pytest.mark.parametrize("single", [True, False])
def test_a_long_batch_of_short_items_is_sent_piece_by_piece(
    single: bool, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thread that runs them, without anybody's help."""
    clock = itertools.count(0, 6_000_000)
    for module in (runner, outlet):
        monkeypatch.setattr(module, "monotonic_ns", lambda: next(clock))
    pair.learn(1, double)
    if single:
        pair.call(*[(double, (n,), {}) for n in range(12)])
    else:
        pair.runner._claims[1] = 1
        pair.map(1, range(12))
    assert pair.values() == [2 * n for n in range(12)]
    counts = [message.count for message in pair.messages()]
    assert sum(counts) == 12
    assert len(counts) > 2


def test_what_was_given_back_and_not_taken_runs_here(pair: Pair) -> None:
    def long_one(x: int) -> int:
        if x == 3:
            pair.runner.give_back()
            pair.runner.give_back()
        return x

    HOOKS["hook"] = long_one
    pair.learn(1, hooked)
    pair.runner._claims[1] = 1000
    pair.map(1, range(10))
    assert pair.values() == list(range(10))


def test_giving_back_between_batches_changes_nothing(pair: Pair) -> None:
    pair.runner.give_back()
    pair.learn(1, double)
    pair.map(1, range(10))
    pair.runner.give_back()
    assert pair.page.claim == 10
    pair.map(1, range(10))
    pair.call((double, (1,), {}))
    pair.runner.give_back()
    assert pair.page.claim == 21


def test_sequence_numbers_go_on_from_batch_to_batch(pair: Pair) -> None:
    pair.learn(1, double)
    pair.map(1, range(3))
    assert pair.page.last_begun == 3
    pair.map(1, range(2))
    assert pair.page.last_begun == 5
    pair.call((double, (1,), {}))
    assert pair.page.last_begun == 6


# -- results on their way while an item runs


def test_what_is_ready_goes_while_the_next_item_runs(pair: Pair) -> None:
    def look(x: int) -> int:
        if x == 4:
            pair.outlet.flush()
        return x

    HOOKS["hook"] = look
    pair.learn(1, hooked)
    pair.map(1, range(6))
    assert [(m.first, m.count, m.ended) for m in pair.messages()] == [(0, 4, False), (4, 2, True)]
    assert pair.values() == list(range(6))


def test_what_is_not_packed_yet_is_left_to_the_main_thread() -> None:
    pair = Pair()

    def look(x: int) -> Any:
        if x == 4:
            pair.outlet.flush()
        return [x] if x >= 2 else x

    HOOKS["hook"] = look
    pair.learn(1, hooked)
    pair.runner._claims[1] = 100
    pair.map(1, range(6))
    assert [(m.first, m.count, m.ended) for m in pair.messages()] == [(0, 2, False), (2, 4, True)]
    assert pair.values() == [0, 1, [2], [3], [4], [5]]


def test_flushing_with_nothing_ready_sends_nothing(pair: Pair) -> None:
    pair.outlet.flush()
    pair.learn(1, double)
    pair.map(1, [1])
    pair.outlet.flush()
    assert len(pair.sent) == 1


# -- what an idle worker keeps


class Tracked:
    """Known while it lives, also after it has travelled."""

    alive: ClassVar[weakref.WeakSet[Tracked]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)

    def __reduce__(self) -> Any:
        return Tracked, ()


@pytest.mark.parametrize("count", [1, 3])
def test_an_idle_worker_process_keeps_nothing_that_it_has_rebuilt(count: int) -> None:
    pair = Pair()
    pair.learn(1, in_a_list)
    pair.map(1, [Tracked() for _ in range(count)])
    gc.collect()
    assert len(Tracked.alive) == 0


def test_an_idle_worker_keeps_nothing_of_what_it_was_given() -> None:
    class Thing:
        pass

    pair = Pair(direct=True)
    pair.learn(1, in_a_list)
    things = [Thing() for _ in range(3)]
    left = [weakref.ref(thing) for thing in things]
    pair.map(1, things)
    pair.call((in_a_list, (things[0],), {}))
    pair.map(1, things)
    pair.sent.clear()
    del things
    gc.collect()
    assert [ref() for ref in left] == [None] * 3


@pytest.mark.parametrize("as_call", [False, True])
def test_who_is_woken_for_a_result_is_the_only_one_to_hold_it(as_call: bool) -> None:
    class Thing:
        pass

    pair = Pair(direct=True)
    pair.learn(1, lambda x: Thing())
    seen: list[Any] = []

    def look() -> None:
        _, message = pair.sent.pop()
        [(_, thing)] = message.body
        message.body.clear()
        seen.append(weakref.ref(thing))
        del thing
        seen.append(seen[0]() is None)

    pair.on_wake = look
    if as_call:
        pair.call((lambda x: Thing(), (1,), {}))
    else:
        pair.map(1, [1])
    assert seen[1:] == [True]
