"""What the types of the public names say, for mypy to check (`make check`); nothing in here runs."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from typing import assert_type

import phalanx
from phalanx import Executor, Future, Pool
from phalanx.errors import WorkerLost
from phalanx.pool import AsyncResult, ThreadPool


def length(text: str) -> int:
    return len(text)


def ratio(over: int, under: int = 1, *, digits: int = 2) -> float:
    return round(over / under, digits)


def call_of_its_own() -> None:
    assert_type(phalanx.map(length, ["a", "b"]), list[int])
    assert_type(phalanx.map(ratio, range(3), [1, 2], workers=2, chunksize=3), list[float])
    assert_type(phalanx.map(lambda x: str(x), [1, 2]), list[str])
    for each in phalanx.stream(length, ["a"], ordered=False, window=4):
        assert_type(each, int)
    assert_type(next(phalanx.stream(length, ["a"])), int)
    phalanx.stream(length, ["a"]).close()


def executor() -> None:
    with Executor(2, backend="threads") as executor:
        assert_type(executor, Executor)
        future = executor.submit(length, "a")
        assert_type(future, Future[int])
        assert_type(future.result(), int)
        assert_type(future.exception(), BaseException | None)
        assert_type(future.worker_pid, int | None)
        assert_type(executor.submit(ratio, 1, digits=3), Future[float])
        executor.submit(length, 3)  # type: ignore[arg-type]
        executor.submit(length)  # type: ignore[call-arg]
        executor.submit(ratio, 1, digit=3)  # type: ignore[call-arg]
        assert_type(executor.map(length, ["a"], buffersize=3), Iterator[int])
        assert_type(list(executor.stream(length, ["a"])), list[int])
        assert_type(executor.options(chunksize=3), Executor)
        assert_type(executor.options(chunksize=3).submit(length, "a"), Future[int])


def standard_functions(future: Future[int], executor: Executor) -> None:
    is_one: concurrent.futures.Future[int] = future
    is_an_executor: concurrent.futures.Executor = executor
    assert_type(is_one.result(), int)
    assert_type(is_an_executor.submit(length, "a"), concurrent.futures.Future[int])
    done, _ = concurrent.futures.wait([future])
    assert_type(done, set[concurrent.futures.Future[int]])
    for each in concurrent.futures.as_completed([future]):
        assert_type(each.result(), int)


def pools() -> None:
    with Pool(2) as pool:
        assert_type(pool, Pool)
        assert_type(pool.apply(length, ("a",)), int)
        assert_type(pool.apply_async(length, ("a",)), AsyncResult[int])
        assert_type(pool.apply_async(length, ("a",)).get(), int)
        assert_type(pool.map(length, ["a"]), list[int])
        pool.map(length, [1, 2])  # type: ignore[arg-type]
        assert_type(pool.starmap(ratio, [(1, 2)]), list[float])
        assert_type(pool.map_async(length, ["a"]).get(timeout=3), list[int])
        assert_type(pool.starmap_async(ratio, [(1, 2)]).get(), list[float])
        for each in pool.imap(length, ["a"], chunksize=2):
            assert_type(each, int)
        assert_type(pool.imap_unordered(length, ["a"]).next(timeout=1), int)
    with ThreadPool(2) as threads:
        assert_type(threads, ThreadPool)
        assert_type(threads.map(length, ["a"]), list[int])


def errors(error: WorkerLost) -> None:
    assert_type(error.index, int | None)
    assert_type(error.arguments, str | None)
    assert_type(error.signal, int | None)
    is_broken: concurrent.futures.process.BrokenProcessPool = error
    print(is_broken)
