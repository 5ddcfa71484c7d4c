"""Signals whose handlers raise, at moments that nobody chose."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from typing import Any

import pytest

from phalanx import Executor, Pool
from tests.engine.conftest import options_of
from tests.engine.storms import Storm
from tests.engine.tasks import Box, Ledger, hold_first, square

PATIENCE = 20

# A handler that raises while the collector frees something is the collector's to report; and a socket that was
# being made when it struck is freed by the collector, which says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Calls:
    """Submitting and asking, exposed; afterwards every future that was handed out gets its result."""

    def __init__(self, executor: Executor, ledger: Ledger) -> None:
        self._executor = executor
        self._ledger = ledger
        self._next = 0
        self.futures: dict[int, Any] = {}

    def several(self) -> None:
        """One step of the storm."""
        batch = []
        for _ in range(5):
            item = self._next = self._next + 1
            self.futures[item] = future = self._executor.submit(self._ledger.boxed, item)
            batch.append(future)
        for future in batch:
            future.result(PATIENCE)

    def check(self) -> None:
        """Nothing was lost, nothing done twice."""
        for item, future in self.futures.items():
            assert future.result(PATIENCE) == Box(item)
        counts = self._ledger.counts()
        assert max(counts.values()) == 1
        assert not self.futures.keys() - counts.keys()


def storm_over_calls(kind: str, ledger: Ledger, strikes: int, calm: float) -> None:
    with Executor(2, **options_of(kind)) as executor:
        calls = Calls(executor, ledger)
        calls.several()
        with Storm(1, calm) as storm:
            for _ in range(20 * strikes):
                storm.attempt(calls.several)
                if storm.struck >= strikes:
                    break
        assert storm.struck >= strikes
        calls.check()


def test_a_storm_of_1400_signals_over_submit_and_result(ledger: Ledger) -> None:
    storm_over_calls("fork", ledger, 1400, 0.002)


@pytest.mark.parametrize("kind", ["threads", "forkserver", "spawn"])
def test_a_storm_over_other_workers(kind: str, ledger: Ledger) -> None:
    storm_over_calls(kind, ledger, 150, 0.002)


@pytest.mark.parametrize("name", ["map", "imap", "imap_unordered"])
def test_a_storm_of_200_signals_over_a_pool(name: str, ledger: Ledger) -> None:
    """A map that was struck raises; an iterator goes on. The pool is as good as new."""
    whole: list[int] = []
    first = 0
    with Pool(2) as pool, Storm(2, 0.004) as storm:
        for _ in range(2000):
            items = list(range(first, first + 40))
            first += 40
            taken: list[int] = []
            results: list[Any] = []

            def operation(items: Any = items, taken: Any = taken, results: Any = results) -> None:
                results.append(iter(getattr(pool, name)(ledger.note, items)))
                taken.extend(results[0])

            if name == "map":
                if storm.attempt(operation):
                    assert taken == items
                    whole.extend(items)
            else:
                storm.attempt(operation)
                if results:
                    # What was struck out of `extend` is lost between two of its steps: not the iterator's doing.
                    taken.extend(results[0])
                    assert len(taken) == len(set(taken))
                    whole.extend(items)
            if storm.struck >= 200:
                break
        assert storm.struck >= 200
        assert pool.map(square, range(100)) == [i * i for i in range(100)]
        pool.close()
        pool.join()
    counts = ledger.counts()
    assert max(counts.values()) == 1
    assert not [item for item in whole if not counts[item]]


def test_a_storm_of_100_signals_over_close_and_join(ledger: Ledger) -> None:
    """Whoever closes once more gets there; the leak check sees that nothing is left."""
    item = 0
    with Storm(3, 0.01) as storm:
        for _ in range(1000):
            pool = Pool(2)
            results = [pool.apply_async(ledger.note, (item + n,)) for n in range(3)]

            def operation(pool: Pool = pool) -> None:
                pool.close()
                pool.join()

            storm.attempt(operation)
            pool.close()
            pool.join()
            assert [result.get(PATIENCE) for result in results] == [item, item + 1, item + 2]
            item += 3
            if storm.struck >= 100:
                break
    assert storm.struck >= 100
    assert set(ledger.counts().values()) == {1}


# -- Ctrl-C


@pytest.mark.parametrize("kind", ["fork", "threads"])
def test_interrupts_at_any_moment_of_map(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items = range(3000)
    expected = [square(item) for item in items]
    raised = 0
    # One that strikes while the interpreter frees something cannot be raised.
    unraised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: unraised.append(what.exc_type))
    main = threading.get_ident()
    with Pool(2, **options_of(kind)) as pool:
        assert pool.map(square, items) == expected
        for turn in range(60):
            timer = threading.Timer(turn * 0.0002, signal.pthread_kill, (main, signal.SIGINT))
            try:
                timer.start()
                assert pool.map(square, items) == expected
                timer.join()
            except KeyboardInterrupt:
                raised += 1
            timer.join()
            assert pool.map(square, range(10)) == expected[:10]
        pool.close()
        pool.join()
    assert raised + unraised.count(KeyboardInterrupt) == 60


def test_an_interrupt_ends_a_one_shot_call_and_its_workers(gate: Any) -> None:
    import phalanx

    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        phalanx.map(partial(hold_first, gate.read), range(4), workers=2)
    timer.join()
