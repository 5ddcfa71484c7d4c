"""Taking back what a worker has not started: the parent's side of the page."""

from __future__ import annotations

import pytest

from phalanx._base.identity import WorkerIdentity
from phalanx._base.page import CLAIM, LIMIT, NO_LIMIT
from phalanx._engine.workers import Worker
from phalanx._platform.pages import LocalPages
from phalanx._policy import Batch
from phalanx._transport import MemoryChannel, MemoryEnd


@pytest.fixture
def worker() -> Worker:
    """A worker that holds items 0 to 9, of which it has claimed three."""
    worker = Worker(WorkerIdentity(0, 0, 0), MemoryChannel(MemoryEnd(lambda: None)), LocalPages(1).page(0))
    worker.hold(Batch(1, 1, 100, 110, 0))
    worker.page[CLAIM] = 3
    return worker


def test_what_is_claimed_stays_with_the_worker(worker: Worker) -> None:
    assert worker.lower_limit(1) == 3
    assert worker.page[LIMIT] == 1


def test_what_is_not_claimed_comes_back(worker: Worker) -> None:
    assert worker.lower_limit(5) == 5


def test_an_answer_stands_while_the_worker_seems_to_claim_more(worker: Worker) -> None:
    """A worker stores its claim first, and clips it after a look at the limit."""
    assert worker.lower_limit(5) == 5
    worker.page[CLAIM] = 8
    assert worker.lower_limit(5) == 5
    [(batch, _)] = worker.facts().held
    assert (batch.start, batch.stop) == (100, 105)


def test_more_can_be_taken_later_but_nothing_is_given_back(worker: Worker) -> None:
    assert worker.lower_limit(7) == 7
    assert worker.lower_limit(4) == 4
    assert worker.lower_limit(9) == 4
    assert worker.page[LIMIT] == 4


def test_a_raised_limit_begins_anew(worker: Worker) -> None:
    assert worker.lower_limit(5) == 5
    worker.raise_limit()
    assert worker.page[LIMIT] == NO_LIMIT
    worker.page[CLAIM] = 8
    assert worker.lower_limit(6) == 8
