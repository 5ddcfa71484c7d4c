"""Who does not say how many workers gets as many as this process may use."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest

import phalanx
from phalanx import CpuBudget, Executor, Pool, cpu_budget
from phalanx.pool import ThreadPool
from tests.api.tasks import square


def test_the_budget_says_how_many_and_why() -> None:
    budget = cpu_budget()
    assert isinstance(budget, CpuBudget)
    assert type(budget.number) is int
    assert budget.number >= 1
    assert budget.source
    assert pickle.loads(pickle.dumps(budget)) == budget


def test_pools_have_that_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "3")
    assert cpu_budget() == CpuBudget(3, "the environment variable PHALANX_WORKERS")
    with Pool() as pool:
        assert len(pool._pool) == 3
    with ThreadPool() as pool:
        assert pool._processes == 3
    with Executor() as executor:
        assert executor._max_workers == 3
    assert multiprocessing.cpu_count() == phalanx.cpu_count()


def test_an_explicit_size_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "3")
    with Pool(1) as pool:
        assert len(pool._pool) == 1


def test_a_wrong_override_is_told_wherever_workers_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHALANX_WORKERS", "lots")
    for call in (cpu_budget, Pool, Executor, lambda: phalanx.map(square, [1, 2]), lambda: Pool(2)):
        with pytest.raises(ValueError, match=r"PHALANX_WORKERS must be .* not 'lots'"):
            call()
