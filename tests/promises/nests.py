"""Items that have pools of their own, importable from every kind of worker."""

from __future__ import annotations

from typing import Any

from phalanx import CpuBudget, Executor, Pool, cpu_budget
from phalanx.pool import ThreadPool
from tests.api.tasks import Door, die, square

BUDGETS: list[CpuBudget] = []


def squares_by_depth(method: str, depth: int, x: int) -> Any:
    """A pool in a pool in a pool ..., each of two workers."""
    if not depth:
        return square(x)
    with Pool(2, start_method=method) as pool:
        assert len(pool._pool) == 2
        return pool.starmap(squares_by_depth, [(method, depth - 1, x), (method, depth - 1, x + 1)])


def squares_by_executor(method: str, x: int) -> list[int]:
    with Executor(2, start_method=method) as executor:
        futures = [executor.submit(square, x + each) for each in range(3)]
        return [*(future.result() for future in futures), *executor.map(square, [x])]


def squares_by_default(method: str, door: Door, x: int) -> list[int]:
    """A pool of default size, whose items are held back."""
    with Pool(start_method=method) as pool:
        return pool.map(door.pass_through, [10 * x, 10 * x + 1], chunksize=1)


def note_budget() -> None:
    """An initializer."""
    BUDGETS.append(cpu_budget())


def budgets(_: Any = None) -> tuple[CpuBudget, CpuBudget]:
    """What the initializer was told, and what an item is told."""
    return BUDGETS[-1], cpu_budget()


def default_size(method: str) -> int:
    with Pool(start_method=method) as pool:
        return len(pool._pool)


def budget_number(_: Any = None) -> int:
    return cpu_budget().number


def budget_of_serial(_: Any = None) -> int:
    with Executor(backend="serial") as executor:
        return executor.submit(budget_number).result()


def budget_of_threads_in_threads(size: int) -> list[int]:
    with ThreadPool(size) as pool:
        return pool.map(budget_number, range(size), chunksize=1)


def budget_of_processes_in_threads(method: str) -> int:
    with Pool(1, start_method=method) as pool:
        return pool.apply(budget_number)


def lose_inner_worker(method: str) -> Any:
    with Pool(1, start_method=method) as pool:
        return pool.apply(die)


def squares_in_daemon(method: str, connection: Any) -> None:
    """What a process of the standard library's runs."""
    with Pool(2, start_method=method) as pool:
        connection.send(pool.map(square, range(3)))
    connection.close()
