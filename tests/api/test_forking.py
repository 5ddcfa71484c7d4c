"""Who chooses fork is told of the threads that are running."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import phalanx
from phalanx._api import forking


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    monkeypatch.setattr(forking, "_has_warned", [False])
    door = threading.Event()
    found = threading.Thread(target=door.wait, name="the writer of the log")
    found.start()
    yield found
    door.set()
    found.join()


def by_pool(**options: Any) -> None:
    with phalanx.Pool(1, **options) as pool:
        pool.map(abs, [1])


def by_executor(**options: Any) -> None:
    with phalanx.Executor(1, **options) as executor:
        executor.submit(abs, 1).result()


def by_map(**options: Any) -> None:
    phalanx.map(abs, [1], **options)


@pytest.mark.parametrize("call", [by_pool, by_executor, by_map])
def test_threads_are_named_once(call: Callable[..., None], thread: threading.Thread) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(start_method="fork")
        call(start_method="fork")
    # CPython 3.12 has a warning of its own, each time.
    [ours] = [warning for warning in caught if warning.category is RuntimeWarning]
    assert "the writer of the log" in str(ours.message)
    assert ours.filename == __file__


@pytest.mark.parametrize("options", [{}, {"start_method": "forkserver"}, {"backend": "threads"}])
def test_nobody_is_told_who_has_not_chosen_it(options: Any, thread: threading.Thread) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        by_map(**options)
        by_pool(context=phalanx.get_context("fork"))
    assert not [warning for warning in caught if warning.category is RuntimeWarning]


def test_nor_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_has_warned", [False])
    by_map(start_method="fork")
