"""Items that fail are tried again as often as the options say: after errors, and, separately, after crashes."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest

import phalanx
from phalanx import Executor
from phalanx.errors import NotSendable, TaskError, WorkerLost
from phalanx.pool import Pool, ThreadPool
from tests.promises.supervised import Crashing, Flaky


def test_an_error_that_passes_is_never_seen(start_method: str, tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=2)
    with Pool(2, start_method=start_method, retries=2, retry_on=ConnectionError) as pool:
        assert pool.map(flaky, range(10)) == [x * x for x in range(10)]
    assert [flaky.calls(x) for x in range(10)] == [3] * 10


@pytest.mark.parametrize("backend", ["processes", "threads", "serial"])
def test_an_error_that_stays_is_raised_after_exactly_that_many_tries(backend: str, tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=99)
    with Executor(1, backend=backend, retries=3, retry_on=OSError) as executor:
        with pytest.raises(ConnectionError, match="no luck with 5") as caught:
            executor.submit(flaky, 5).result()
        assert "item 0: 5" in caught.value.__notes__[0]
    assert flaky.calls(5) == 4


def test_other_errors_are_not_tried_again(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=1, kind=ValueError)
    with Executor(1, retries=3, retry_on=OSError) as executor:
        with pytest.raises(ValueError, match="no luck"):
            executor.submit(flaky, 1).result()
        assert executor.options(retry_on=(OSError, ValueError)).submit(flaky, 2).result() == 4
    assert flaky.calls(1) == 1


def test_a_lambda_is_tried_again_too(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=1)
    with Executor(1, retries=1, retry_on=OSError) as executor:
        assert executor.submit(lambda x: flaky(x), 3).result() == 9
        assert list(executor.map(lambda x: flaky(x), [4, 5])) == [16, 25]


def test_what_cannot_be_sent_is_named_as_without_retries() -> None:
    import threading

    lock = threading.Lock()
    with Executor(1, retries=1, retry_on=OSError) as executor, pytest.raises(NotSendable) as caught:
        list(executor.map(lambda x: (lock, x), [1]))
    with Executor(1) as executor, pytest.raises(NotSendable) as expected:
        list(executor.map(lambda x: (lock, x), [1]))
    assert caught.value.path == expected.value.path


def test_tries_are_counted_in_the_record(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=99)
    with ThreadPool(2, retries=2, retry_on=ConnectionError, on_error="collect") as pool:
        results: Any = pool.map(flaky, [3, 4])
    assert [(each.index, each.tries, each.arguments) for each in results] == [(0, 3, "3"), (1, 3, "4")]


def test_pauses_grow(tmp_path: Path) -> None:
    began = time.monotonic()
    flaky = Flaky(tmp_path, failures=3)
    assert phalanx.map(flaky, [2], workers=1, retries=3, retry_on=OSError, backoff=0.1) == [4]
    # 0.1, 0.2 and 0.4 s, each give or take a half.
    assert 0.35 <= time.monotonic() - began < 15


def test_while_one_item_pauses_others_run(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=1)
    with Executor(1, retries=1, retry_on=OSError, backoff=2.0) as executor:
        first = executor.submit(flaky, 1)
        assert executor.submit(pow, 2, 5).result() == 32
        assert not first.done()
        assert first.cancel()


def test_results_of_neighbours_stand(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=1)
    with Pool(2, retries=1, retry_on=OSError, chunksize=7) as pool:
        assert pool.map(flaky, range(50)) == [x * x for x in range(50)]
        assert sorted(pool.imap_unordered(flaky, range(50, 99))) == [x * x for x in range(50, 99)]
    assert [flaky.calls(x) for x in range(50)] == [2] * 50


# -- crashes


def test_a_crash_that_passes_is_never_seen(start_method: str, tmp_path: Path) -> None:
    crashing = Crashing(tmp_path, crashes=2)
    with Pool(2, start_method=start_method, crash_retries=2) as pool:
        assert pool.map(crashing, range(20)) == [x * x for x in range(20)]
    assert crashing.marker.count() == 3


@pytest.mark.parametrize("tries", [0, 1, 3])
def test_a_poison_item_ends_after_exactly_that_many(tries: int, tmp_path: Path) -> None:
    crashing = Crashing(tmp_path, crashes=99)
    with Pool(2, crash_retries=tries, on_error="collect") as pool:
        results: Any = pool.map(crashing, range(20))
    record = results.pop(7)
    assert isinstance(record, TaskError)
    assert isinstance(record.exception, WorkerLost)
    assert record.tries == crashing.marker.count() == tries + 1
    assert results == [x * x for x in range(20) if x != 7]


def test_retries_of_errors_are_none_of_crashes(tmp_path: Path) -> None:
    crashing = Crashing(tmp_path, crashes=99)
    with Executor(1, retries=5, retry_on=Exception) as executor:
        assert isinstance(executor.submit(crashing, 7).exception(), WorkerLost)
    assert crashing.marker.count() == 1


def test_retries_of_crashes_are_none_of_errors(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, failures=99)
    with Executor(1, crash_retries=5) as executor:
        assert isinstance(executor.submit(flaky, 7).exception(), ConnectionError)
    assert flaky.calls(7) == 1


# -- what becomes of errors


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise ValueError(x)
    return x


def test_failed_items_leave_a_record_or_nothing(start_method: str) -> None:
    with Executor(2, start_method=start_method) as executor:
        collected = list(executor.options(on_error="collect").stream(fail_on_odd, range(6)))
        assert [x.index if isinstance(x, TaskError) else x for x in collected] == [0, 1, 2, 3, 4, 5]
        assert list(executor.options(on_error="skip").stream(fail_on_odd, iter(range(6)))) == [0, 2, 4]
        assert list(executor.options(on_error="skip").map(fail_on_odd, range(6))) == [0, 2, 4]


@pytest.mark.parametrize("backend", ["processes", "threads", "serial"])
def test_what_was_finished_is_reachable_from_the_error(backend: str) -> None:
    with Pool(2, backend=backend) as pool, pytest.raises(ValueError, match="1") as caught:
        pool.map(fail_on_odd, range(6))
    assert dict(caught.value.partial_results) == {0: 0, 2: 2, 4: 4}  # type: ignore[attr-defined]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.partial_results == {0: 0, 2: 2, 4: 4}


def test_a_pool_that_cannot_start_is_no_matter_of_single_items() -> None:
    with Pool(1, initializer=fail_on_odd, initargs=(1,), on_error="skip") as pool:
        with pytest.raises(phalanx.errors.WorkerStartFailed):
            pool.map(fail_on_odd, range(6))
