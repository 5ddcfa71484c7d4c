"""`share`: an object that crosses once to each worker, whatever the number of tasks."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

import phalanx
from phalanx import Executor
from phalanx.pool import Pool
from tests.promises.supervised import Marker
from tests.promises.tasks import wait_until

np = pytest.importorskip("numpy")


class Counted:
    """Leaves a mark each time that it is rebuilt."""

    def __init__(self, marker: Marker, content: Any = None) -> None:
        self.marker = marker
        self.content = content

    def __reduce__(self) -> Any:
        return rebuild, (self.marker, self.content)


def rebuild(marker: Marker, content: Any) -> Counted:
    marker.mark()
    return Counted(marker, content)


def look(thing: Counted, index: int) -> tuple[int, int]:
    return os.getpid(), thing.content[index]


def look_inside(box: dict[str, Any]) -> int:
    return int(box["things"][0].content[box["index"]])


def test_it_crosses_once_to_each_worker(start_method: str, tmp_path: Path) -> None:
    marker = Marker(tmp_path / "rebuilt")
    handle = phalanx.share(Counted(marker, list(range(1000))))
    with Executor(2, start_method=start_method) as executor:
        results = [executor.submit(look, handle, index) for index in range(500)]
        workers = {future.result()[0] for future in results}
        assert [future.result()[1] for future in results] == list(range(500))
        assert list(
            executor.map(look_inside, [{"things": (handle,), "index": x} for x in range(300)])
        ) == list(range(300))
        assert list(executor.map(lambda x: look(handle, x)[1], range(100))) == list(range(100))
    assert 1 <= marker.count() <= 2
    assert len(workers) <= 2


def facts(array: Any, index: int) -> tuple[float, bool, int]:
    return float(array[index]), bool(array.flags.writeable), id(array)


def test_arrays_are_the_same_object_for_all_tasks_and_cannot_be_written(start_method: str) -> None:
    array = np.arange(500_000.0)
    handle = phalanx.share(array)
    with Pool(1, start_method=start_method) as pool:
        found = pool.starmap(facts, [(handle, index) for index in range(50)])
    assert [value for value, _, _ in found] == list(range(50))
    assert {writable for _, writable, _ in found} == {False}
    assert len({number for _, _, number in found}) == 1
    assert array.flags.writeable
    assert handle.get() is array


def test_what_is_changed_afterwards_is_not_seen() -> None:
    array = np.zeros(200_000)
    handle = phalanx.share(array)
    array[:] = 1
    with Executor(1) as executor:
        assert executor.submit(facts, handle, 5).result()[0] == 0.0


def test_a_worker_that_takes_a_dead_ones_place_gets_it_too(start_method: str) -> None:
    handle = phalanx.share(np.arange(300_000))
    with Executor(1, start_method=start_method) as executor:
        assert executor.submit(facts, handle, 7).result()[0] == 7
        assert executor.submit(os._exit, 1).exception() is not None
        assert executor.submit(facts, handle, 8).result()[0] == 8


def test_several_pools_and_one_shot_calls_use_the_same_handle() -> None:
    handle = phalanx.share(np.arange(300_000))
    with Executor(1) as one, Pool(1) as other:
        assert one.submit(facts, handle, 1).result()[0] == 1
        assert other.apply(facts, (handle, 2))[0] == 2
        assert [value for value, _, _ in phalanx.map(facts, [handle] * 3, [3, 4, 5], workers=2)] == [3, 4, 5]
        stream = phalanx.stream(facts, [handle] * 3, [3, 4, 5], workers=1)
        assert [value for value, _, _ in stream] == [3, 4, 5]


def knows(number: int) -> bool:
    from phalanx._memory import shared

    return number in shared._known


def test_it_is_forgotten_when_its_handle_is_gone(start_method: str) -> None:
    handle = phalanx.share(np.arange(300_000))
    number = handle.number
    with Executor(1, start_method=start_method) as executor:
        assert executor.submit(facts, handle, 1).result()[0] == 1
        assert executor.submit(knows, number).result()
        del handle
        assert wait_until(lambda: not executor.submit(knows, number).result())


def test_an_argument_whose_handle_is_dropped_at_once_arrives() -> None:
    with Executor(1) as executor:
        futures = [executor.submit(facts, phalanx.share(np.arange(100_000) + x), 0) for x in range(20)]
        assert [future.result()[0] for future in futures] == list(range(20))


def give_back(thing: Any) -> Any:
    return thing


def pick(thing: Any) -> Any:
    return thing


def test_the_object_comes_back_as_a_copy_of_its_own() -> None:
    handle = phalanx.share({"a": [1, 2]})
    with Executor(1) as executor:
        first, second = (executor.submit(give_back, handle).result() for _ in range(2))
    assert first == second == {"a": [1, 2]}
    assert first is not second


def test_elsewhere_a_handle_says_that_it_cannot_travel() -> None:
    with pytest.raises(pickle.PicklingError, match="only as \\(part of\\) an argument of a task"):
        pickle.dumps(phalanx.share(1))


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    with pytest.raises(TypeError):
        phalanx.share(threading.Lock())


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_in_this_process_tasks_get_the_object_too(backend: str) -> None:
    array = np.arange(10.0)
    handle = phalanx.share(array)
    with Executor(1, backend=backend) as executor:
        assert executor.submit(give_back, handle).result() is array
        assert executor.submit(give_back, thing=handle).result() is array
        assert next(executor.map(give_back, [handle])) is array
        assert next(executor.map(pick, [(handle, 1)]))[0] is array
