"""A share belongs to a process, or to a thread while it is a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from phalanx._platform.shares import call_with, give_process, give_thread, own_share


@pytest.fixture(autouse=True)
def no_worker() -> Iterator[None]:
    """As it is outside of workers, before and after."""
    before = own_share()
    give_process(None)
    yield
    give_process(before)


def in_thread(share: int) -> int | None:
    """What a thread that was given this share sees."""
    seen: list[int | None] = []

    def live() -> None:
        give_thread(share)
        seen.append(own_share())

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    return seen[0]


def test_outside_of_workers_there_is_no_share() -> None:
    assert own_share() is None


def test_a_share_of_the_process_is_that_of_its_threads() -> None:
    give_process(3)
    seen: list[int | None] = []
    thread = threading.Thread(target=lambda: seen.append(own_share()))
    thread.start()
    thread.join()
    assert (own_share(), seen) == (3, [3])


def test_a_threads_share_is_its_own() -> None:
    give_process(8)
    assert in_thread(2) == 2
    assert own_share() == 8


def test_a_call_has_its_share_until_it_returns_or_raises() -> None:
    def raise_error() -> None:
        assert own_share() == 2
        raise KeyError

    give_process(8)
    assert call_with(4, lambda: (own_share(), call_with(2, own_share), own_share())) == (4, 2, 4)
    with pytest.raises(KeyError):
        call_with(2, raise_error)
    assert own_share() == 8


def test_a_worker_process_that_a_worker_thread_has_forked_has_its_own_share() -> None:
    give_thread(4)
    give_process(2)
    assert own_share() == 2
