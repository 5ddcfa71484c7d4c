"""An exception at every place where one can strike: nothing hangs, nothing is lost, nothing is done twice.

Each test repeats one operation on one pool and has it struck one place further along each time.
"""

from __future__ import annotations

import sys
from itertools import count
from typing import Any

import pytest

from phalanx import Executor, Pool
from phalanx.errors import WorkerLost
from tests.engine.conftest import options_of
from tests.engine.strikes import Struck, strike
from tests.engine.tasks import Box, Ledger

PATIENCE = 10
# A file whose `with` was struck before it began is closed when it is freed, and says so. (The leak check counts
# descriptors all the same.)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


class Places:
    """Numbers the places of an operation, in steps, until strikes find nothing more to hit, three times in a row.

    Not once: now and then another thread does most of an operation, and there is little to hit in this one.

    Each version of Python begins elsewhere, so that together they come to most places.
    """

    def __init__(self, step: int = 1, most: int = 1500) -> None:
        self._step = step
        self._most = most
        self._missed = 0
        self.struck = 0

    def __iter__(self) -> Any:
        for turn in count():
            assert turn < self._most, "the operation never gets through"
            yield turn * self._step + 1 + sys.version_info.minor % self._step
            if self._missed == 3:
                return

    def note(self, blow: Any, was_raised: bool) -> None:
        """What came of one strike: if it fell, the operation must not have kept it to itself."""
        assert was_raised is (blow.fell and not blow.was_ignored), f"swallowed at {blow.place}"
        self._missed = 0 if blow.fell else self._missed + 1
        self.struck += blow.fell


def check_counts(ledger: Ledger, complete: list[int], places: list[str]) -> None:
    """Of `complete` each was executed once, of all others none twice."""
    counts = ledger.counts()
    twice = {item: counts[item] for item in counts if counts[item] > 1}
    assert not twice, [places[abs(item) // 1000] for item in twice]
    lost = [item for item in complete if not counts[item]]
    assert not lost, lost


def ask(get: Any, kind: str) -> Any:
    """An outcome that asking was interrupted for.

    A serial worker is this very thread: there, what struck may have struck the item, and is its outcome.
    """
    try:
        return get(PATIENCE)
    except (Struck, WorkerLost):
        if kind != "serial":
            raise
        return None


def check_usable(pool: Pool, ledger: Ledger, number: int, complete: list[int]) -> None:
    items = range(-number * 1000 - 20, -number * 1000)
    assert pool.map(ledger.note, items) == list(items)
    complete.extend(items)


@pytest.mark.parametrize("kind", ["fork", "threads", "serial"])
@pytest.mark.parametrize("plain", [True, False])
def test_submit_and_result(kind: str, plain: bool, ledger: Ledger) -> None:
    task = ledger.note if plain else ledger.boxed
    complete: list[int] = []
    where = [""]
    places = Places()
    with Executor(2, **options_of(kind)) as executor:
        executor.submit(ledger.note, 0).result()
        for number in places:
            future, raised = None, False
            try:
                with strike(number) as blow:
                    future = executor.submit(task, number * 1000)
                    future.result()
            except Struck:
                raised = True
            where.append(blow.place)
            places.note(blow, raised)
            outcome = future and ask(future.result, kind)
            if outcome is not None:
                assert outcome == (number * 1000 if plain else Box(number * 1000)), blow.place
                complete.append(number * 1000)
            assert executor.submit(ledger.note, -number * 1000).result(PATIENCE) == -number * 1000
            complete.append(-number * 1000)
    assert places.struck > 10
    check_counts(ledger, complete, where)


@pytest.mark.parametrize(("kind", "step"), [("fork", 13), ("threads", 29), ("serial", 23)])
def test_map(kind: str, step: int, ledger: Ledger) -> None:
    complete: list[int] = []
    where: list[str] = [""] * 10_000
    places = Places(step)
    with Pool(2, **options_of(kind)) as pool:
        for number in places:
            items = range(number * 1000, number * 1000 + 30)
            try:
                with strike(number) as blow:
                    assert pool.map(ledger.note, items) == list(items)
            except Struck:
                places.note(blow, True)
            else:
                places.note(blow, False)
                complete.extend(items)
            where[number] = blow.place
            check_usable(pool, ledger, number, complete)
        pool.close()
        pool.join()
    assert places.struck > 10
    check_counts(ledger, complete, where)


@pytest.mark.parametrize(("kind", "step"), [("fork", 11), ("threads", 47), ("serial", 29)])
def test_asynchronous_map(kind: str, step: int, ledger: Ledger) -> None:
    """Whoever has a result object gets the result in the end, however often asking was interrupted."""
    complete: list[int] = []
    where: list[str] = [""] * 10_000
    places = Places(step)
    with Pool(2, **options_of(kind)) as pool:
        for number in places:
            items = range(number * 1000, number * 1000 + 20)
            result, raised = None, False
            try:
                with strike(number) as blow:
                    result = pool.map_async(ledger.boxed, items)
                    result.get()
            except Struck:
                raised = True
            where[number] = blow.place
            places.note(blow, raised)
            outcome = result and ask(result.get, kind)
            if outcome is not None:
                assert outcome == list(map(Box, items)), blow.place
                complete.extend(items)
            assert outcome is not None or result is None or kind == "serial"
            check_usable(pool, ledger, number, complete)
        pool.close()
        pool.join()
    assert places.struck > 10
    check_counts(ledger, complete, where)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("kind", "step"), [("fork", 37), ("threads", 61)])
def test_imap(kind: str, step: int, ordered: bool, ledger: Ledger) -> None:
    """An iterator that was struck in `next` goes on with what was due, without a gap and without a repetition."""
    complete: list[int] = []
    where: list[str] = [""] * 100_000
    places = Places(step)
    with Pool(2, **options_of(kind)) as pool:
        imap = pool.imap if ordered else pool.imap_unordered
        for number in places:
            items = list(range(number * 1000, number * 1000 + 20))
            taken: list[int] = []
            results, raised = None, False
            try:
                with strike(number) as blow:
                    results = imap(ledger.note, iter(items))
                    for value in results:
                        taken.append(value)
            except Struck:
                raised = True
            where[number] = blow.place
            places.note(blow, raised)
            if results is not None:
                taken.extend(results)
                assert (taken if ordered else sorted(taken)) == items, blow.place
                complete.extend(items)
            check_usable(pool, ledger, number, complete)
        pool.close()
        pool.join()
    assert places.struck > 10
    check_counts(ledger, complete, where)


@pytest.mark.parametrize(
    ("kind", "step"), [("fork", 29), ("threads", 31), ("forkserver", 190), ("spawn", 190)]
)
def test_close_and_join(kind: str, step: int, ledger: Ledger) -> None:
    """Closing that was struck is done by closing again; the leak check sees that nothing is left."""
    complete: list[int] = []
    where: list[str] = [""] * 10_000
    places = Places(step)
    for number in places:
        pool = Pool(2, **options_of(kind))
        items = range(number * 1000, number * 1000 + 4)
        results = [pool.apply_async(ledger.note, (item,)) for item in items]
        raised = False
        try:
            with strike(number) as blow:
                pool.close()
                pool.join()
        except Struck:
            raised = True
        where[number] = blow.place
        places.note(blow, raised)
        pool.close()
        pool.join()
        assert [result.get(PATIENCE) for result in results] == list(items), blow.place
        complete.extend(items)
    assert places.struck > 2
    check_counts(ledger, complete, where)


@pytest.mark.parametrize("kind", ["fork", "threads"])
def test_terminate(kind: str, ledger: Ledger) -> None:
    places = Places(15 if kind == "fork" else 23)
    for number in places:
        pool = Pool(2, **options_of(kind))
        pool.map_async(ledger.note, range(100))
        raised = False
        try:
            with strike(number) as blow:
                pool.terminate()
                pool.join()
        except Struck:
            raised = True
        places.note(blow, raised)
        pool.terminate()
        pool.join()
    assert places.struck > 10


@pytest.mark.parametrize("error", [RecursionError, MemoryError, KeyboardInterrupt])
def test_errors_of_the_interpreter_itself(error: type[BaseException], ledger: Ledger) -> None:
    """These strike in the same places. They may reach the caller through the call's outcome."""
    complete: list[int] = []
    with Pool(2) as pool:
        for number in range(1, 1000, 13):
            items = range(number * 1000, number * 1000 + 20)
            try:
                with strike(number, error) as blow:
                    assert pool.map(ledger.note, items) == list(items)
            except error:
                pass
            else:
                complete.extend(items)
            check_usable(pool, ledger, number, complete)
            if not blow.fell:
                break
        pool.close()
        pool.join()
    check_counts(ledger, complete, [""] * 2000)
