"""Items with large arguments that fail, are tried again, stopped or refused: right bytes, or one clear error."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phalanx
from phalanx import Executor, Pool
from phalanx._memory.depot import MOST_IDLE, Depot
from phalanx.errors import TaskError, TaskTimeout, WorkerLost
from tests.data.tasks import (
    Spoiling,
    checked,
    die,
    doubled_then_die,
    echo,
    fail_with,
    hold,
    linger,
    made,
    number_of,
    open_blocks,
    sealed,
    unbuildable,
    use_up_descriptors,
)
from tests.promises.programs import program
from tests.promises.supervised import Marker
from tests.promises.tasks import wait_until

# The same code on every interpreter: what may differ stands in test_contents.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LARGE = 600_000
LIMIT = 0.05
# What the parent and two workers keep warm, and some that are on their way.
MOST = 3 * MOST_IDLE + 8


def check_that_blocks_came_back(executor: Executor) -> None:
    """Whatever went before, no more blocks are in use than always."""
    for number in range(8):
        assert number_of(executor.submit(checked, sealed(number, LARGE)).result()) == number
    assert open_blocks() <= MOST


def test_errors_tell_how_many_bytes_were_sent(start_method: str) -> None:
    with Executor(1, start_method=start_method, timeout=0.3, on_error="collect") as executor:
        small = executor.submit(die, 1).exception()
        large = executor.submit(die, sealed(1, 3_000_000)).exception()
        plain = executor.submit(die, b"x" * 1_500_000).exception()
        slow = executor.submit(linger, sealed(1, 2_000_000)).exception()
        [of_map] = executor.map(die, [sealed(1, 4_000_000)])
    assert isinstance(small, WorkerLost)
    assert 5 <= (small.bytes_in or 0) < 1000
    assert "sent" not in str(small)
    for error, size in (
        (large, 3_000_000),
        (plain, 1_500_000),
        (slow, 2_000_000),
        (of_map.exception, 4_000_000),
    ):
        assert isinstance(error, WorkerLost | TaskTimeout)
        assert 0 <= (error.bytes_in or 0) - size < 1000
        assert f"{size / 1e6:.3g} MB sent)" in str(error)
        assert pickle.loads(pickle.dumps(error)).bytes_in == error.bytes_in


def test_nothing_was_sent_for_what_a_forked_worker_has() -> None:
    with pytest.raises(WorkerLost) as caught:
        phalanx.map(die, [sealed(1, 3_000_000)], start_method="fork")
    assert caught.value.bytes_in == 0


@pytest.mark.parametrize("size", [100_000, LARGE], ids=["copied out", "mapped"])
@pytest.mark.parametrize(
    ("way", "options"),
    [
        ("error", {"retries": 2, "retry_on": (ConnectionError,)}),
        ("SIGKILL", {"crash_retries": 2}),
    ],
)
def test_another_try_sees_what_was_sent_and_not_what_the_first_has_made_of_it(
    way: str, options: dict[str, Any], size: int, start_method: str, tmp_path: Path
) -> None:
    with Executor(2, start_method=start_method, **options) as executor:
        spoiling = Spoiling(tmp_path / "submit", 2, way)
        assert number_of(executor.submit(spoiling, sealed(1, size)).result()) == 1
        assert spoiling.marker.count() == 3
        items = [sealed(number, size) for number in range(6)]
        for chunksize in (1, 3):
            spoiling = Spoiling(tmp_path / f"map{chunksize}", 2, way)
            results = executor.map(spoiling, items, chunksize=chunksize)
            assert [number_of(result) for result in results] == list(range(6))
        spoiling = Spoiling(tmp_path / "stream", 2, way)
        results = executor.stream(spoiling, iter(items))
        assert [number_of(result) for result in results] == list(range(6))
        check_that_blocks_came_back(executor)


def test_another_try_of_a_map_without_a_pool_sees_what_was_there(start_method: str, tmp_path: Path) -> None:
    items = [sealed(number) for number in range(6)]
    for name, options in {
        "error": {"retries": 2, "retry_on": (ConnectionError,)},
        "SIGKILL": {"crash_retries": 2},
    }.items():
        spoiling = Spoiling(tmp_path / name, 2, name)
        results = phalanx.map(spoiling, items, workers=2, start_method=start_method, **options)  # type: ignore[arg-type]
        assert [number_of(result) for result in results] == list(range(6))


def test_items_that_take_too_long_give_their_blocks_back(forked: Executor, tmp_path: Path) -> None:
    marker = Marker(tmp_path / "began")
    limited = forked.options(timeout=LIMIT)
    futures = [limited.submit(hold, sealed(number, LARGE), marker) for number in range(30)]
    good = [forked.submit(checked, sealed(number, LARGE)) for number in range(4)]
    for future in futures:
        assert isinstance(future.exception(), TaskTimeout)
    assert [number_of(future.result()) for future in good] == list(range(4))
    check_that_blocks_came_back(forked)


def test_crashes_give_their_blocks_back_and_change_nothing_here(forked: Executor) -> None:
    mine = sealed(1, LARGE)
    for _ in range(60):
        assert isinstance(forked.submit(doubled_then_die, mine).exception(), WorkerLost)
    assert number_of(mine) == 1
    check_that_blocks_came_back(forked)


def test_cancelled_and_killed_calls_give_their_blocks_back(forked: Executor, tmp_path: Path) -> None:
    for turn in range(3):
        marker = Marker(tmp_path / str(turn))
        running = [forked.submit(hold, sealed(number, LARGE), marker) for number in range(2)]
        assert wait_until(lambda marker=marker: marker.count() == 2)  # type: ignore[misc]
        queued = [forked.submit(checked, sealed(number, LARGE)) for number in range(30)]
        cancelled = [future for future in queued[5:] if future.cancel()]
        assert len(cancelled) > 10
        for future in running:
            assert future.kill()
            with pytest.raises(CancelledError):
                future.result(20)
        kept = [future for future in queued if future not in cancelled]
        assert [number_of(future.result(20)) for future in kept] == list(range(len(kept)))
        del queued, running, cancelled, kept, future
    check_that_blocks_came_back(forked)


def test_a_stream_that_is_left_gives_its_blocks_back(forked: Executor) -> None:
    for _ in range(4):
        stream = forked.stream(checked, (sealed(number, LARGE) for number in range(1_000)))
        assert [number_of(next(stream)) for _ in range(5)] == list(range(5))
        stream.close()
    check_that_blocks_came_back(forked)


def test_a_result_that_cannot_be_rebuilt_fails_its_own_item(executor: Executor) -> None:
    futures = [executor.submit(echo if n % 2 else unbuildable, sealed(n, LARGE)) for n in range(6)]
    for number, future in enumerate(futures):
        if number % 2:
            assert number_of(future.result()) == number
        else:
            error = future.exception()
            assert isinstance(error, ValueError)
            assert any("cannot be rebuilt" in note for note in error.__notes__)


def test_an_argument_that_cannot_be_rebuilt_fails_its_own_item(executor: Executor) -> None:
    items = [sealed(0, LARGE), unbuildable(sealed(1, LARGE)), sealed(2, LARGE)]
    collected = list(executor.options(on_error="collect").map(echo, items, chunksize=3))
    assert isinstance(collected[1], TaskError)
    assert isinstance(collected[1].exception, ValueError)
    assert [number_of(each) for each in collected[::2]] == [0, 2]


def test_exceptions_bring_their_large_arguments(executor: Executor) -> None:
    error = executor.submit(fail_with, sealed(5, LARGE)).exception()
    assert isinstance(error, ValueError)
    assert number_of(error.args[1]) == 5


def test_a_worker_without_memory_for_blocks_has_its_pool_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as soon_over:
        refuse(soon_over)
        pool = Pool(1, start_method="fork")
        pool.apply(abs, (1,))
    with pool, pytest.warns(RuntimeWarning, match="copied through a pipe") as told:
        results = [number_of(pool.apply(sealed, (number, LARGE))) for number in range(3)]
    assert results == [0, 1, 2]
    assert len(told) == 1


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on new depots, those of forked workers too, find no memory."""
    monkeypatch.setitem(Depot.__init__.__kwdefaults__, "left", lambda: 0)


def test_without_memory_for_blocks_everything_crosses_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    with Pool(2, start_method="fork") as pool:
        with pytest.warns(RuntimeWarning, match="no block of shared memory") as told:
            found = [number_of(pool.apply(checked, (sealed(1, LARGE),))) for _ in range(2)]
        assert found == [1, 1]
        assert len(told) == 1, "once"
        for turn in range(3):
            results = pool.map(checked, [sealed(number, LARGE) for number in range(10)])
            assert [number_of(result) for result in results] == list(range(10)), turn
            results[3][:] = 0
        assert number_of(pool.apply(checked, (sealed(4, LARGE),))) == 4
        blob = bytes(range(256)) * 4_000
        assert pool.map(echo, [blob, bytearray(blob)]) == [blob, blob]
        assert open_blocks() == 0


@pytest.mark.parametrize(
    ("spare", "method"), [*((spare, "fork") for spare in range(5)), (0, "spawn"), (1, "spawn")]
)
def test_a_worker_without_descriptors_gives_right_values_or_an_error_that_says_so(
    spare: int, method: str
) -> None:
    """Started as a new interpreter, it has not even loaded the code that deals with large data."""
    with Executor(1, initializer=use_up_descriptors, initargs=(spare,), start_method=method) as executor:
        failed = 0
        for number in range(12):
            future = executor.submit(checked, sealed(number, LARGE + number * 100_000))
            error = future.exception(20)
            if error is None:
                assert number_of(future.result()) == number
            else:
                assert isinstance(error, OSError)
                assert "descriptors" in str(error)
                failed += 1
        # What the worker makes without arguments goes inline in the end.
        assert [number_of(executor.submit(made, number).result(20)) for number in range(3)] == [0, 1, 2]
        collected = list(
            executor.options(on_error="collect").map(echo, [sealed(n, LARGE) for n in range(6)], chunksize=3)
        )
        for number, result in enumerate(collected):
            if isinstance(result, TaskError):
                assert "descriptors" in str(result.exception)
            else:
                assert number_of(result) == number
    assert failed == 12 if spare == 0 else failed < 12


STARVING = f"""
sys.path.insert(0, {str(ROOT)!r})
from tests.data.tasks import checked, echo, number_of, sealed, use_up_descriptors
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("spare", [0, 1, 2, 3])
def test_a_parent_without_descriptors_gets_right_values_or_an_error_that_says_so(
    spare: int, method: str, tmp_path: Path
) -> None:
    main = f"""
    with Executor(1, start_method=METHOD) as executor:
        assert number_of(executor.submit(checked, sealed(0)).result()) == 0
        use_up_descriptors({spare})
        kept = []
        for number in range(30):
            future = executor.submit(checked, sealed(number, 300_000 + number * 50_000))
            error = future.exception(20)
            if error is None:
                kept.append(future.result())
                assert number_of(kept[-1]) == number
            else:
                assert isinstance(error, OSError) and "descriptors" in str(error), repr(error)
            assert executor.submit(len, [1]).result(20) == 1
    ready("done", len(kept))
    """
    with program(tmp_path, STARVING, main, method) as running:
        word, kept = running.line()
        assert word == "done"
        # One is taken by what is lent first, and no result can come any more.
        assert spare < 2 or int(kept) > 0


def test_numbers_of_blocks_do_not_grow_with_errors(forked: Executor) -> None:
    for _ in range(60):
        assert isinstance(forked.submit(fail_with, sealed(1, LARGE)).exception(), ValueError)
        assert isinstance(forked.submit(unbuildable, sealed(1, LARGE)).exception(), ValueError)
    check_that_blocks_came_back(forked)


def test_a_call_may_be_asked_again_and_again(forked: Executor) -> None:
    future = forked.submit(checked, sealed(8, LARGE))
    first = future.result()
    assert future.result() is first
    assert isinstance(first, np.ndarray)
    began = time.monotonic()
    assert number_of(future.result()) == 8
    assert time.monotonic() - began < 5
