"""Everything that users do with an executor, in any order, on real processes: each call has its one right end."""

from __future__ import annotations

import os
import time
from concurrent.futures import CancelledError
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from phalanx import Executor, Future
from phalanx.errors import PoolClosed, TaskError, TaskTimeout, WorkerLost
from tests.promises.supervised import nap

SECONDS = 30  # for anything: a bound for hangs, not a measure


def square(x: int) -> int:
    return x * x


def raise_it(x: int) -> int:
    raise KeyError(x)


def crash(x: int) -> int:
    os._exit(x % 100 + 1)


class Users(RuleBasedStateMachine):
    """One executor, many calls."""

    def __init__(self) -> None:
        super().__init__()
        self.executor = Executor(2, max_tasks_per_child=7)
        self.expected: list[tuple[Future[Any], Any]] = []
        self.maybe: list[tuple[Future[Any], Any]] = []
        self.is_open = True
        self.count = 0

    def submit(self, expected: Any, function: Any, *args: Any, **options: Any) -> Future[Any]:
        executor = self.executor.options(**options) if options else self.executor
        future = executor.submit(function, *args)
        self.expected.append((future, expected))
        return future

    @precondition(lambda self: self.is_open)
    @rule(n=st.integers(1, 30))
    def call(self, n: int) -> None:
        for x in range(n):
            self.submit(x * x, square, x)

    @precondition(lambda self: self.is_open)
    @rule()
    def call_what_raises(self) -> None:
        self.submit(KeyError, raise_it, 3)

    @precondition(lambda self: self.is_open)
    @rule(retries=st.integers(0, 2))
    def call_what_crashes(self, retries: int) -> None:
        self.submit(WorkerLost, crash, 5, crash_retries=retries)

    @precondition(lambda self: self.is_open)
    @rule()
    def call_what_takes_too_long(self) -> None:
        self.submit(TaskTimeout, time.sleep, SECONDS, timeout=0.05)

    @precondition(lambda self: self.is_open)
    @rule(kill=st.booleans())
    def call_and_take_back(self, kill: bool) -> None:
        future = self.executor.submit(nap, 0.02)
        gone = future.kill() if kill else future.cancel()
        if gone and not kill:
            assert future.cancelled()
        self.maybe.append((future, CancelledError))

    @precondition(lambda self: self.is_open)
    @rule(n=st.integers(1, 40), fails=st.booleans())
    def map(self, n: int, fails: bool) -> None:
        function = raise_it if fails else square
        results = list(self.executor.options(on_error="collect").map(function, range(n)))
        if fails:
            assert [each.index for each in results if isinstance(each, TaskError)] == list(range(n))
        else:
            assert results == [x * x for x in range(n)]

    @precondition(lambda self: self.is_open)
    @rule(size=st.integers(1, 3))
    def resize(self, size: int) -> None:
        self.executor.resize(size)

    @precondition(lambda self: self.is_open)
    @rule()
    def look(self) -> None:
        assert len(self.executor.status()) <= 9
        self.executor.dump_stacks()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def wait_for_one(self, data: Any) -> None:
        check(*data.draw(st.sampled_from(self.expected)))

    @precondition(lambda self: self.is_open)
    @rule()
    def shut_down(self) -> None:
        self.is_open = False
        self.executor.shutdown(wait=False)

    @precondition(lambda self: not self.is_open)
    @rule()
    def call_what_is_closed(self) -> None:
        with pytest.raises(PoolClosed):
            self.executor.submit(square, 2)

    def teardown(self) -> None:
        try:
            for future, expected in self.expected:
                check(future, expected)
            for future, expected in self.maybe:
                assert isinstance(outcome(future), expected | int)
        finally:
            self.executor.shutdown()


def outcome(future: Future[Any]) -> Any:
    """The result, or what it raised instead."""
    try:
        return future.result(SECONDS)
    except (CancelledError, Exception) as error:
        return error


def check(future: Future[Any], expected: Any) -> None:
    found = outcome(future)
    assert type(found) is expected if isinstance(expected, type) else found == expected, (found, expected)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_call_has_its_one_right_end_whatever_else_happens() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Users,
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
