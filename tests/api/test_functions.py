"""`phalanx.map` and `phalanx.stream`: one call, its own workers."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tqdm

import phalanx
from phalanx._engine.performing import Performer
from phalanx.errors import NotSendable, WorkerLost, WorkerStartFailed
from tests.api import tasks
from tests.api.tasks import Door

# -- map


def test_map_by_every_start_method(start_method: str) -> None:
    found = phalanx.map(tasks.square, range(30), workers=2, start_method=start_method)
    assert found == [x * x for x in range(30)]


def test_map_by_every_backend(backend: str) -> None:
    assert phalanx.map(tasks.square, range(30), workers=2, backend=backend) == [x * x for x in range(30)]
    assert phalanx.map(tasks.add, [1, 2], [3, 4], [5, 6], workers=2, backend=backend) == [9, 12]
    with pytest.raises(ValueError, match="bad 3") as caught:
        phalanx.map(tasks.fail_on_three, range(10), workers=2, backend=backend)
    assert any("item 3: 3, in worker process" in note for note in caught.value.__notes__)


def test_several_iterables_end_with_the_shortest() -> None:
    assert phalanx.map(pow, [2, 3, 4], iter([1, 2]), workers=2) == [2, 9]
    assert phalanx.map(tasks.add, itertools.count(), [1, 2, 3], workers=2) == [1, 3, 5]


def test_nothing_to_do_starts_nobody() -> None:
    assert phalanx.map(tasks.square, []) == []
    assert phalanx.map(tasks.square, iter(())) == []
    assert phalanx.map(tasks.add, [], [1]) == []


def test_lambdas_and_one_item() -> None:
    offset = 3
    assert phalanx.map(lambda x: x + offset, [1]) == [4]


def test_items_are_not_unpacked_by_type() -> None:
    assert phalanx.map(len, [(1, 2), {"a": 1}], workers=1) == [2, 1]


def test_a_chunksize_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[tuple[int, int]] = []
    pack = Performer.pack

    def noting(self: Performer, worker: Any, job: Any, batch: Any) -> Any:
        packed.append((batch.start, batch.stop))
        return pack(self, worker, job, batch)

    monkeypatch.setattr(Performer, "pack", noting)
    assert phalanx.map(tasks.square, range(40), workers=2, chunksize=10) == [x * x for x in range(40)]
    # And perhaps parts of them: on a busy machine one worker may be given what another has not begun.
    assert {(at, at + 10) for at in range(0, 40, 10)} <= set(packed)


def test_the_first_error_stops_the_rest(door: Door) -> None:
    with pytest.raises(ValueError, match="0"):
        phalanx.map(WaitUnless(door), range(1000), workers=2, chunksize=1)
    assert len(door.who_came()) < 1000


class WaitUnless:
    def __init__(self, door: Door) -> None:
        self.door = door

    def __call__(self, x: int) -> int:
        if x == 0:
            while not self.door.who_came():
                continue
            raise ValueError(x)
        self.door.pass_through(x)
        return x


@pytest.mark.parametrize("backend", ["processes", "serial"])
def test_a_failing_map_may_be_called_again_and_again(backend: str) -> None:
    for _ in range(20):
        with pytest.raises(ValueError):
            phalanx.map(tasks.fail, [1, 2], workers=2, backend=backend)


def test_a_note_names_the_item_and_shortens_its_arguments() -> None:
    with pytest.raises(ValueError) as caught:
        phalanx.map(tasks.fail, ["a", "b" * 10_000], workers=1, chunksize=2)
    assert "item 0: 'a'," in caught.value.__notes__[0]
    with pytest.raises(ValueError) as caught:
        phalanx.map(tasks.fail, ["b" * 10_000], workers=1)
    [note] = caught.value.__notes__
    assert "item 0: 'bbb" in note
    assert len(note) < 250


def test_a_lost_worker() -> None:
    with pytest.raises(WorkerLost, match="SIGKILL") as caught:
        phalanx.map(tasks.die_on_three, range(10), workers=2)
    error = caught.value
    assert (error.index, error.arguments, error.signal) == (3, "3", 9)
    assert "item 3" in str(error)


def test_what_cannot_travel_raises_from_the_call() -> None:
    lock = threading.Lock()
    with pytest.raises(NotSendable) as caught:
        phalanx.map(lock.acquire, [1], start_method="spawn")
    assert caught.value.side == "function"
    with pytest.raises(NotSendable):
        phalanx.map(tasks.square, [1, lock], start_method="forkserver")
    with pytest.raises(NotSendable) as caught:
        phalanx.map(tasks.make_lock, [1])
    assert caught.value.side == "result"


def test_an_input_that_raises_stops_its_own_call() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("input")

    with pytest.raises(KeyError) as caught:
        phalanx.map(tasks.square, items())
    assert caught.value.__cause__ is None


def test_options_of_workers() -> None:
    found = phalanx.map(
        tasks.recall, range(4), workers=2, initializer=tasks.remember, initargs=(1,), max_tasks_per_child=1
    )
    assert found == [[1]] * 4
    assert len(set(phalanx.map(tasks.pid, range(4), workers=2, max_tasks_per_child=1))) == 4


@pytest.mark.parametrize(
    ("wrong", "kind", "hint"),
    [
        ({"worker": 2}, TypeError, "did you mean 'workers'"),
        ({"max_workers": 2}, TypeError, "did you mean 'workers'"),
        ({"chunk_size": 2}, TypeError, "did you mean 'chunksize'"),
        ({"buffersize": 2}, TypeError, "did you mean 'window'"),
        ({"workers": 0}, ValueError, "workers must be greater than 0"),
        ({"workers": 1.5}, TypeError, "workers must be an integer"),
        ({"chunksize": 0}, ValueError, "chunksize must be >= 1"),
        ({"backend": "process"}, ValueError, "did you mean 'processes'"),
        ({"progress": 3}, TypeError, "progress must be True"),
    ],
)
def test_wrong_options_raise_at_the_call(wrong: dict[str, Any], kind: type[Exception], hint: str) -> None:
    for call in (phalanx.map, phalanx.stream):
        with pytest.raises(kind) as caught:
            call(tasks.square, [1], **wrong)
        assert hint in str(caught.value)
        assert call.__name__ in str(caught.value) or kind is ValueError or "must be" in str(caught.value)


# -- progress


def test_progress_for_a_callable(backend: str) -> None:
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        seen.append((done, total))

    assert len(phalanx.map(tasks.square, range(50), workers=2, backend=backend, progress=progress)) == 50
    assert seen[-1] == (50, 50)
    assert seen == sorted(set(seen))
    seen.clear()
    assert len(list(phalanx.stream(tasks.square, range(50), workers=2, progress=progress))) == 50
    assert seen[-1] == (50, 50)
    seen.clear()
    assert len(list(phalanx.stream(tasks.square, iter(range(50)), workers=2, progress=progress))) == 50
    assert seen[-1] == (50, None)


def test_progress_as_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    phalanx.map(tasks.square, range(50), workers=2, progress="squares")
    assert "squares: 100%" in capsys.readouterr().err
    phalanx.map(tasks.square, range(50), workers=2, progress=True, name="named")
    assert "named: 100%" in capsys.readouterr().err
    assert not getattr(tqdm.tqdm, "monitor", None)
    phalanx.map(tasks.square, range(50), workers=2, progress=False)
    assert capsys.readouterr().err == ""


def test_what_a_progress_callable_raises_ends_its_call() -> None:
    def progress(done: int, total: int | None) -> None:
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError):
        phalanx.map(tasks.square, range(50), workers=2, progress=progress)


# -- stream


def test_stream_by_every_backend(backend: str) -> None:
    found = phalanx.stream(tasks.square, itertools.count(), workers=2, backend=backend)
    assert [next(found) for _ in range(50)] == [x * x for x in range(50)]
    found.close()
    found.close()
    assert list(found) == []


def test_stream_by_every_start_method(start_method: str) -> None:
    found = phalanx.stream(tasks.square, iter(range(20)), workers=2, start_method=start_method)
    assert list(found) == [x * x for x in range(20)]


def test_stream_of_several_iterables() -> None:
    assert list(phalanx.stream(pow, itertools.count(1), [2, 3], workers=1)) == [1, 8]


def test_the_input_is_read_a_window_ahead() -> None:
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for x in itertools.count():
            pulled.append(x)
            yield x

    stream = phalanx.stream(tasks.square, items(), workers=2, window=5)
    for count in range(1, 30):
        next(stream)
        assert len(pulled) <= count + 5 + 1
    stream.close()


def test_unordered_gives_what_is_there(door: Door) -> None:
    stream = phalanx.stream(HoldBack(door), range(5), workers=2, ordered=False, chunksize=1)
    first = [next(stream) for _ in range(4)]
    assert sorted(first) == [1, 2, 3, 4]
    door.open()
    assert list(stream) == [0]


class HoldBack:
    def __init__(self, door: Door) -> None:
        self.door = door

    def __call__(self, x: int) -> int:
        return self.door.pass_through(x) if x == 0 else x


def test_an_item_that_fails_is_no_end() -> None:
    stream, seen = phalanx.stream(tasks.fail_on_three, range(6), workers=2), []
    for _ in range(6):
        try:
            seen.append(next(stream))
        except ValueError as error:
            seen.append((str(error), "item 3: 3" in error.__notes__[0]))
    assert seen == [0, 1, 2, ("bad 3", True), 4, 5]
    assert list(stream) == []


def test_an_input_that_raises_comes_last() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    stream, seen = phalanx.stream(tasks.square, items(), workers=2), []
    with pytest.raises(KeyError) as caught:
        for value in stream:
            seen.append(value)
    assert seen == [0, 1, 4, 9, 16]
    assert caught.value.__cause__ is None
    assert list(stream) == []


def test_a_dropped_stream_leaves_nothing(backend: str) -> None:
    stream = phalanx.stream(tasks.square, itertools.count(), workers=2, backend=backend)
    assert next(stream) == 0
    del stream
    gc.collect()


def test_a_list_that_changes_after_the_call() -> None:
    items = list(range(50))
    stream = phalanx.stream(tasks.square, items, workers=2, window=4)
    items.clear()
    assert list(stream) == [x * x for x in range(50)]


# -- workers that cannot start


def attempts(path: Path) -> int:
    count = path.stat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return count


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failing_initializer_raises_once_in_the_caller(backend: str, workers: int, tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    for call in (phalanx.map, lambda *a, **k: list(phalanx.stream(*a, **k))):
        with pytest.raises(WorkerStartFailed, match="no start today") as caught:
            call(
                tasks.square,
                range(100),
                workers=workers,
                backend=backend,
                initializer=tasks.refuse,
                initargs=(str(path),),
            )
        assert isinstance(caught.value.__cause__, ValueError)
        assert 1 <= attempts(path) <= workers + 1


def test_each_later_call_makes_one_new_attempt(start_method: str, tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    with phalanx.Executor(
        2, initializer=tasks.refuse, initargs=(str(path),), start_method=start_method
    ) as executor:
        for _ in range(3):
            error = executor.submit(tasks.square, 1).exception()
            assert isinstance(error, WorkerStartFailed)
            assert isinstance(error.__cause__, ValueError)
            assert attempts(path) == 1


def test_every_outstanding_call_fails_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    with phalanx.Executor(1, initializer=tasks.refuse, initargs=(str(path),)) as executor:
        futures = [executor.submit(tasks.square, x) for x in range(10)]
        errors = [future.exception() for future in futures]
        assert {type(error) for error in errors} == {WorkerStartFailed}
        assert len({id(error) for error in errors}) == 10


def test_a_pool_recovers_when_its_initializer_does(tmp_path: Path) -> None:
    path, obstacle = tmp_path / "attempts", tmp_path / "obstacle"
    obstacle.touch()
    with phalanx.Pool(2, tasks.refuse_while, (str(path), str(obstacle))) as pool:
        for _ in range(2):
            with pytest.raises(WorkerStartFailed):
                pool.map(tasks.square, range(10))
            assert attempts(path) <= 3
        obstacle.unlink()
        assert pool.map(tasks.square, range(10)) == [x * x for x in range(10)]


def test_an_initializer_that_kills_its_worker(tmp_path: Path) -> None:
    with pytest.raises(WorkerStartFailed):
        phalanx.map(tasks.square, range(10), workers=2, initializer=tasks.die)
    with pytest.raises(WorkerStartFailed):
        phalanx.map(tasks.square, range(10), workers=2, initializer=os._exit, initargs=(3,))


def test_an_initializer_that_leaves(backend: str) -> None:
    with pytest.raises(WorkerStartFailed) as caught:
        phalanx.map(tasks.square, [1], workers=1, backend=backend, initializer=tasks.leave, initargs=(3,))
    assert isinstance(caught.value.__cause__, SystemExit)
