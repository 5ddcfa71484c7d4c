"""Every peer behind the same two doors: a map, and many submits with all their results.

Each peer is used as its own documentation shows it, with a pool that stays open between the rounds. Where a
peer's default is one item per message (`concurrent.futures`, loky, pebble), maps get the chunk size that
`multiprocessing` would take, or they would only measure that default.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

WORKERS = 2
Function = Callable[[Any], Any]
Mapper = Callable[[Function, Sequence[Any]], Sequence[Any]]
Submitter = Callable[[Function, Iterable[Any]], list[Any]]


def open_pool(module: str, factory: str, *args: Any, **options: Any) -> AbstractContextManager[Any]:
    """Import only what this process measures."""
    pool: AbstractContextManager[Any] = getattr(importlib.import_module(module), factory)(*args, **options)
    return pool


def standard_chunk(count: int) -> int:
    """What `multiprocessing.Pool.map` takes for that many items."""
    return max(1, -(-count // (WORKERS * 4)))


def all_futures(submit: Callable[..., Any]) -> Submitter:
    def submit_all(fn: Function, items: Iterable[Any]) -> list[Any]:
        futures = [submit(fn, item) for item in items]
        return [future.result() for future in futures]

    return submit_all


def all_async(apply_async: Callable[..., Any]) -> Submitter:
    def submit_all(fn: Function, items: Iterable[Any]) -> list[Any]:
        pending = [apply_async(fn, (item,)) for item in items]
        return [result.get() for result in pending]

    return submit_all


def all_scheduled(schedule: Callable[..., Any]) -> Submitter:
    def submit_all(fn: Function, items: Iterable[Any]) -> list[Any]:
        futures = [schedule(fn, (item,)) for item in items]
        return [future.result() for future in futures]

    return submit_all


def chunked_map(executor: Any) -> Mapper:
    return lambda fn, items: list(executor.map(fn, items, chunksize=standard_chunk(len(items))))


def pebble_map(pool: Any) -> Mapper:
    return lambda fn, items: list(pool.map(fn, items, chunksize=standard_chunk(len(items))).result())


def joblib_map(parallel: Any) -> Mapper:
    from joblib import delayed

    return lambda fn, items: parallel(delayed(fn)(item) for item in items)


@dataclass(frozen=True)
class Peer:
    """How to open its pool, and how to get the two doors from it."""

    open: Callable[[], AbstractContextManager[Any]]
    map: Callable[[Any], Mapper]
    submit: Callable[[Any], Submitter] | None = None

    @contextmanager
    def mapper(self) -> Iterator[Mapper]:
        with self.open() as pool:
            yield self.map(pool)

    @contextmanager
    def submitter(self) -> Iterator[Submitter]:
        assert self.submit is not None
        with self.open() as pool:
            yield self.submit(pool)


def _executor(module: str) -> Peer:
    return Peer(
        open=lambda: open_pool(module, "ProcessPoolExecutor", WORKERS),
        map=chunked_map,
        submit=lambda executor: all_futures(executor.submit),
    )


MAPPERS = {
    "phalanx": Peer(lambda: open_pool("phalanx", "Pool", WORKERS), map=lambda pool: pool.map),
    "multiprocessing": Peer(
        open=lambda: open_pool("multiprocessing", "Pool", WORKERS),
        map=lambda pool: pool.map,
        submit=lambda pool: all_async(pool.apply_async),
    ),
    "concurrent.futures": _executor("concurrent.futures"),
    "loky": _executor("loky"),
    "joblib": Peer(lambda: open_pool("joblib", "Parallel", n_jobs=WORKERS), map=joblib_map),
    "mpire": Peer(
        open=lambda: open_pool("mpire", "WorkerPool", n_jobs=WORKERS, keep_alive=True),
        map=lambda pool: pool.map,
        submit=lambda pool: all_async(pool.apply_async),
    ),
    "pebble": Peer(
        open=lambda: open_pool("pebble", "ProcessPool", max_workers=WORKERS),
        map=pebble_map,
        submit=lambda pool: all_scheduled(pool.schedule),
    ),
}


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Ray on this machine, without its dashboard."""
    ray = importlib.import_module("ray")
    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}},  # its workers start elsewhere
    )
    try:
        yield ray
    finally:
        ray.shutdown()


def ray_map(ray: Any) -> Mapper:
    remotes: dict[Function, Any] = {}

    def map_all(fn: Function, items: Sequence[Any]) -> Sequence[Any]:
        remote = remotes.get(fn) or remotes.setdefault(fn, ray.remote(fn))
        results: Sequence[Any] = ray.get([remote.remote(item) for item in items])
        return results

    return map_all


RAY = Peer(ray_cluster, ray_map)


def _run_slices(connection: Any) -> None:
    """The other end of `bare_processes`."""
    while (work := connection.recv()) is not None:
        fn, items = work
        connection.send([fn(item) for item in items])


@contextmanager
def bare_processes() -> Iterator[Mapper]:
    """Two processes and two pipes, half of the items each: what this machine gives to two processes at once.

    Two processors that share a core, or a host with other guests, give less than twice one.
    """
    import multiprocessing

    ends = []
    for _ in range(WORKERS):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=_run_slices, args=(theirs,))
        process.start()
        ends.append((ours, process))

    def map_all(fn: Function, items: Sequence[Any]) -> list[Any]:
        half = -(-len(items) // WORKERS)
        for number, (connection, _) in enumerate(ends):
            connection.send((fn, list(items[number * half : (number + 1) * half])))
        return [result for connection, _ in ends for result in connection.recv()]

    yield map_all
    for connection, process in ends:
        connection.send(None)
        process.join()


SERIAL = Peer(nullcontext, map=lambda _: lambda fn, items: [fn(item) for item in items])


def executor_of(workers: int) -> Peer:
    """Our `Executor`: what stands against the peers wherever calls are submitted one by one."""
    return Peer(
        open=lambda: open_pool("phalanx", "Executor", workers),
        map=chunked_map,
        submit=lambda executor: all_futures(executor.submit),
    )


SUBMITTERS = {
    "phalanx": executor_of(WORKERS),
    **{name: peer for name, peer in MAPPERS.items() if peer.submit},
}
BARE = Peer(bare_processes, lambda map_all: map_all)
