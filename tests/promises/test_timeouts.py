"""`timeout` stops one item, wherever it is, and nothing else; `Future.kill` and `cancel` do so on request."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import phalanx
from phalanx import Executor
from phalanx.errors import TaskTimeout
from phalanx.pool import Pool
from tests.api.tasks import Door, pid, square
from tests.promises import supervised
from tests.promises.tasks import wait_until


@pytest.mark.parametrize("function", [supervised.sleep_at_seven, supervised.compute_in_c_at_seven])
def test_one_item_of_a_batch_is_stopped_and_the_others_have_their_results(
    start_method: str, function: Callable[[int], int]
) -> None:
    began = time.monotonic()
    with Pool(2, start_method=start_method, timeout=0.4, on_error="collect", chunksize=5) as pool:
        results = pool.map(function, range(20))
        assert pool.map(square, range(4)) == [0, 1, 4, 9]
    failed = results.pop(7)
    assert results == [x * x for x in range(20) if x != 7]
    error = failed.exception
    assert isinstance(error, TaskTimeout)
    assert (error.index, error.arguments, error.limit) == (7, "7", 0.4)
    assert (
        f"item 7 (7) ran longer than timeout=0.4 s and was stopped with its worker process (pid {error.pid})"
        in str(error)
    )
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert 0.4 <= time.monotonic() - began < 20


def test_the_process_of_a_stopped_item_is_gone_with_all_that_it_started(
    start_method: str, tmp_path: Path
) -> None:
    marker = supervised.Marker(tmp_path / "pid")
    with Executor(1, start_method=start_method, timeout=1.0) as executor:
        future = executor.submit(supervised.start_a_program, marker)
        with pytest.raises(TaskTimeout) as caught:
            future.result()
        grandchild = int(Path(marker.path).read_text())
        assert wait_until(lambda: not is_running(grandchild))
        assert wait_until(lambda: not is_running(caught.value.pid or 0))


def is_running(number: int) -> bool:
    """Whether there is such a process that is more than a zombie."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_the_time_of_an_item_counts_from_its_own_beginning() -> None:
    # Eight items of 0.15 s in one batch, and two that wait behind others: none runs longer than the timeout.
    with Pool(1, timeout=0.6, chunksize=4) as pool:
        assert len(pool.map(supervised.nap, [0.15] * 8)) == 8


def test_calls_have_the_timeouts_of_their_views(door: Door) -> None:
    with Executor(2) as executor, door:
        patient = executor.submit(door.pass_through, 1)
        hasty = executor.options(timeout=0.2).submit(time.sleep, 60)
        with pytest.raises(TaskTimeout):
            hasty.result()
        assert not patient.done()
        door.open()
        assert patient.result() == 1


def test_other_workers_are_not_disturbed(door: Door) -> None:
    with Executor(2, timeout=0.3) as executor:
        stuck = executor.submit(time.sleep, 60)
        others = {executor.submit(pid).result() for _ in range(20)}
        assert isinstance(stuck.exception(), TaskTimeout)
        assert stuck.exception().pid not in others  # type: ignore[union-attr]
        assert {executor.submit(pid).result() for _ in range(5)} <= others | {executor.submit(pid).result()}


def test_a_map_stops_at_the_first_item_that_takes_too_long() -> None:
    with pytest.raises(TaskTimeout, match="item 7"):
        phalanx.map(supervised.sleep_at_seven, range(20), workers=2, timeout=0.3)


def test_a_stream_goes_on_behind_an_item_that_took_too_long() -> None:
    taken: list[object] = []
    stream = phalanx.stream(supervised.sleep_at_seven, range(10), workers=2, timeout=0.3)
    while True:
        try:
            taken.append(next(stream))
        except StopIteration:
            break
        except TaskTimeout as error:
            taken.append(error.index)
    assert taken == [0, 1, 4, 9, 16, 25, 36, 7, 64, 81]


# -- on request


def test_a_running_call_is_stopped_and_the_others_go_on(start_method: str, door: Door) -> None:
    with Executor(2, start_method=start_method) as executor, door:
        running = executor.submit(door.pass_through, 1)
        other = executor.submit(door.pass_through, 2)
        assert wait_until(lambda: len(door.who_came()) == 2)
        behind = [executor.submit(square, x) for x in range(20)]
        assert running.kill()
        with pytest.raises(CancelledError):
            running.result(10)
        assert running.cancelled()
        assert [future.result(10) for future in behind] == [x * x for x in range(20)]
        door.open()
        assert other.result(10) == 2


def test_a_call_that_computes_in_c_is_stopped() -> None:
    with Executor(1) as executor:
        running = executor.submit(supervised.compute_in_c_at_seven, 7)
        assert wait_until(running.running)
        assert running.kill()
        with pytest.raises(CancelledError):
            running.result(10)
        assert executor.submit(square, 3).result(10) == 9


def test_a_call_that_waits_is_cancelled_at_once_and_no_worker_dies(door: Door) -> None:
    with Executor(1) as executor, door:
        worker = executor.submit(pid).result()
        running = executor.submit(door.pass_through, 1)
        assert wait_until(lambda: len(door.who_came()) == 1)
        waiting = executor.submit(square, 2)
        assert waiting.kill()
        assert waiting.cancelled()
        door.open()
        assert running.result(10) == 1
        assert executor.submit(pid).result(10) == worker


def test_a_call_that_has_ended_cannot_be_stopped() -> None:
    with Executor(1) as executor:
        future = executor.submit(os.getpid)
        assert future.result() > 0
        assert not future.kill()
        assert executor.submit(os.getpid).result() == future.result()


def test_a_thread_cannot_be_stopped(door: Door) -> None:
    with Executor(1, backend="threads") as executor, door:
        running = executor.submit(door.pass_through, 1)
        assert wait_until(lambda: len(door.who_came()) == 1)
        waiting = executor.submit(square, 2)
        assert not running.kill()
        assert waiting.kill()
        door.open()
        assert running.result(10) == 1
