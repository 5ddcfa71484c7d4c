"""The pool itself: starting and closing it, and what it costs while nothing happens."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.measure import Bar, Contender, Params, Report, Row, Sample, Verdict, judge_times
from benchmarks.peers import MAPPERS, WORKERS, Peer, executor_of
from benchmarks.tasks import identity

IDLE_SECONDS = 3.0
SETTLE_SECONDS = 1.0


def _starting(module: str, method: str) -> Contender:
    """Open, four items, close. Under forkserver the first (uncounted) round starts the server."""

    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], float]]:
        context = importlib.import_module("multiprocessing").get_context(method)
        make_pool = importlib.import_module(module).Pool if module == "phalanx" else None

        def play() -> float:
            begun = time.perf_counter()
            pool = make_pool(WORKERS, context=context) if make_pool else context.Pool(WORKERS)
            results = pool.map(identity, range(4))
            pool.close()
            pool.join()
            elapsed = time.perf_counter() - begun
            if results != [0, 1, 2, 3]:
                raise AssertionError("wrong results")
            return elapsed

        yield play

    return contender


def _start_row(method: str) -> Row:
    return Row(
        name=f"start-{method}",
        work=f"pool of 2, four items, close ({method})",
        contenders={
            "phalanx": _starting("phalanx", method),
            "multiprocessing": _starting("multiprocessing", method),
        },
        judge=judge_times,
        bars=(Bar("multiprocessing", 1.0),),
        rounds=21 if method == "fork" else 11,
        quick_rounds=7,
    )


def _all_threads() -> list[Path]:
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    return [thread for one in processes for thread in Path(f"/proc/{one.pid}/task").iterdir()]


def _usage(threads: list[Path], waiting: Path) -> tuple[float, int]:
    """CPU seconds and context switches of all these threads but the one that looks."""
    nanoseconds = switches = 0
    for thread in threads:
        if thread == waiting:
            continue
        nanoseconds += int((thread / "schedstat").read_text().split()[0])
        for line in (thread / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                switches += int(line.split()[1])
    return nanoseconds / 1e9, switches


def _idling(peer: Peer) -> Contender:
    """A pool that has worked and now has nothing to do.

    The main thread, which sleeps and looks, is left out of the sum: it is the user's, and a pool that polls
    does it in a thread or process of its own. Two maps before, so that what is started late is there.
    """

    @contextmanager
    def contender(params: Params) -> Iterator[Callable[[], dict[str, float]]]:
        own_thread = Path(f"/proc/{psutil.Process().pid}/task/{psutil.Process().pid}")
        with peer.mapper() as map_all:

            def play() -> dict[str, float]:
                map_all(identity, range(1_000))
                map_all(identity, range(1_000))
                time.sleep(SETTLE_SECONDS)
                threads = _all_threads()
                seconds, switches = _usage(threads, own_thread)
                time.sleep(IDLE_SECONDS)
                seconds_after, switches_after = _usage(threads, own_thread)
                if set(_all_threads()) != set(threads):
                    raise AssertionError("threads or processes came or went while idle")
                return {"cpu": seconds_after - seconds, "wakeups": switches_after - switches}

            yield play

    return contender


def _judge_idle(row: Row, samples: Mapping[str, Sample]) -> Report:
    cells = {}
    for name in row.contenders:
        if f"{name}.cpu" in samples:
            cpu, wakeups = samples[f"{name}.cpu"].median, samples[f"{name}.wakeups"].median
            cells[name] = f"{cpu * 1e3:.1f} ms, {wakeups:.0f} wake-ups"
        else:
            cells[name] = samples[name].trouble
    verdicts = []
    for name, bar in (("phalanx", "0 in Pool"), ("Executor", "0 in Executor")):
        seen = [samples.get(f"{name}.{key}", Sample()).values for key in ("cpu", "wakeups")]
        verdicts.append(Verdict(cells[name], bar, ok=all(values and not any(values) for values in seen)))
    return Report(row.name, row.work, cells, verdicts)


ROWS = (
    *(_start_row(method) for method in ("fork", "forkserver", "spawn")),
    Row(
        name="idle",
        work=f"idle pool for {IDLE_SECONDS:.0f} s: CPU time and wake-ups",
        contenders={
            **{name: _idling(peer) for name, peer in MAPPERS.items()},
            "Executor": _idling(executor_of(WORKERS)),
        },
        judge=_judge_idle,
        rounds=2,
        quick_rounds=1,
        together=True,
    ),
)
