"""`cancel()` succeeds for whatever has not started, and what was cancelled never runs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from phalanx import Executor
from tests.api import tasks
from tests.api.tasks import Door
from tests.promises.tasks import Record


def sent(executor: Executor) -> set[int]:
    """Indices of the calls that workers hold."""
    session: Any = executor._shut.session
    batches = [held.batch for worker in session.engine.workers.values() for held in worker.held.values()]
    return {index for batch in batches for index in range(batch.start, batch.stop)}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("order", ["first to last", "last to first", "mixed"])
def test_everything_behind_busy_workers(order: str, workers: int, door: Door, record: Record) -> None:
    with Executor(workers) as executor:
        for x in range(2_000):  # short ones, so that many are sent ahead
            executor.submit(tasks.square, x)
        executor.submit(tasks.square, 0).result()
        running = [executor.submit(door.pass_through, x) for x in range(workers)]
        for x in range(workers):
            door.wait_until_somebody_is_there(x)
        futures = [executor.submit(record, x) for x in range(200)]
        places = list(range(200))
        if order == "last to first":
            places.reverse()
        elif order == "mixed":
            random.Random(1).shuffle(places)
        kept = set(places[::10])
        assert all(futures[x].cancel() for x in places if x not in kept)
        assert not any(future.cancel() for future in running)
        assert all(futures[x].cancelled() == (x not in kept) for x in places)
        door.open()
        assert [future.result() for future in running] == list(range(workers))
        assert {x: futures[x].result() for x in kept} == {x: x * x for x in kept}
        assert not any(futures[x].cancel() for x in kept)
    assert record.counts() == dict.fromkeys(kept, 1)


def test_what_was_sent_ahead(door: Door, record: Record) -> None:
    with Executor(1) as executor:
        executor.submit(tasks.square, 1).result()
        running = executor.submit(door.pass_through, 0)
        futures = [executor.submit(record, x) for x in range(50)]
        door.wait_until_somebody_is_there(0)
        ahead = [future for future in futures if future._index in sent(executor)]
        assert ahead, "nothing was sent ahead: this test shows nothing"
        assert all(future.cancel() for future in ahead)
        door.open()
        assert running.result() == 0
        assert all(future.result() >= 0 for future in futures if future not in ahead)
    assert sum(record.counts().values()) == 50 - len(ahead)


def test_cancelling_while_they_run_is_always_one_or_the_other(record: Record) -> None:
    chance = random.Random(2)
    with Executor(2) as executor:
        futures = {x: executor.submit(record, x) for x in range(3_000)}
        cancelled = {x for x in chance.sample(range(3_000), 1_500) if futures[x].cancel()}
        for x, future in futures.items():
            assert future.cancelled() == (x in cancelled)
            if x not in cancelled:
                assert future.result() == x * x
    assert record.counts() == dict.fromkeys(futures.keys() - cancelled, 1)
