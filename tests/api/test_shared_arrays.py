"""`empty`, `zeros`, `array`: NumPy arrays that all workers can write to, and that travel as handles."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import phalanx
from phalanx import Executor
from phalanx.pool import Pool

np = pytest.importorskip("numpy")


def fill(row: Any, number: int) -> None:
    row[...] = number


def add_one(box: dict[str, Any]) -> float:
    box["table"][box["at"]] += 1
    return float(box["table"].sum())


def same(thing: Any) -> Any:
    return thing


def test_what_a_worker_writes_everybody_sees(start_method: str) -> None:
    table = phalanx.zeros((4, 100_000))
    with Pool(2, start_method=start_method) as pool:
        pool.starmap(fill, [(table[index], index) for index in range(4)])
        assert [set(row) for row in table.tolist()] == [{0.0}, {1.0}, {2.0}, {3.0}]
        pool.apply(add_one, ({"table": table, "at": (0, 5)},))
        assert table[0, 5] == 1.0
        table[1, 1] = 70
        assert pool.apply(float, (table[1, 1],)) == 70
        assert pool.apply(np.max, (table,)) == 70


@pytest.mark.parametrize(
    "cut",
    [
        lambda a: a,
        lambda a: a[2:5],
        lambda a: a.T,
        lambda a: a[::-1, ::2],
        lambda a: a[3, 4:9],
        lambda a: a.reshape(-1)[7:7],
        lambda a: a[1, 1:2].reshape(()),
        lambda a: a.view(np.int64),
    ],
)
def test_views_travel_without_a_copy_and_back(cut: Any) -> None:
    source = phalanx.array(np.arange(100.0).reshape(10, 10))
    view = cut(source)
    with Executor(1) as executor:
        back = executor.submit(same, {"x": [view]}).result()["x"][0]
    assert back.shape == view.shape
    assert back.dtype == view.dtype
    assert np.array_equal(np.asarray(back), np.asarray(view))
    if back.size:
        back[...] = 7
        assert (np.asarray(view) == 7).all()


def test_large_ones_too(start_method: str) -> None:
    source = phalanx.zeros(1_000_000)
    with Executor(1, start_method=start_method) as executor:
        back = executor.submit(same, [source, np.ones(200_000)]).result()
        assert np.array_equal(back[1], np.ones(200_000))
        back[0][5] = 3
        assert source[5] == 3


def test_one_that_is_only_an_argument_comes_back_alive() -> None:
    with Executor(1) as executor:
        futures = [executor.submit(same, phalanx.array([x, x + 1])) for x in range(20)]
        assert [future.result().tolist() for future in futures] == [[x, x + 1] for x in range(20)]


def test_what_is_computed_from_one_is_ordinary(start_method: str) -> None:
    source = phalanx.array([1.0, 2.0])
    with Executor(1, start_method=start_method) as executor:
        double = executor.submit(same, source * 2).result()
        assert double.tolist() == [2.0, 4.0]
        double[0] = 9
        assert source.tolist() == [1.0, 2.0]
        assert executor.submit(np.add, source, 1).result().tolist() == [2.0, 3.0]


def test_elsewhere_it_is_pickled_as_an_array() -> None:
    copy = pickle.loads(pickle.dumps(phalanx.array([1, 2])))
    assert type(copy) is np.ndarray
    assert copy.tolist() == [1, 2]


def test_it_outlives_pools_and_workers() -> None:
    table = phalanx.zeros(10)
    for number in range(3):
        with Pool(1) as pool:
            pool.apply(fill, (table[number : number + 1], number + 1))
    assert table.tolist()[:4] == [1, 2, 3, 0]
    view = table[:2]
    del table
    assert view.tolist() == [1, 2]


def test_in_this_process_it_is_the_same_array() -> None:
    table = phalanx.zeros(3)
    with Executor(1, backend="threads") as executor:
        assert executor.submit(same, table).result() is table
    phalanx.map(fill, [table[:1], table[1:]], [5, 6], backend="serial")
    assert table.tolist() == [5, 6, 6]


@pytest.mark.parametrize(
    ("shape", "dtype"), [(0, float), ((3, 0), int), ((), "f4"), (5, "M8[s]"), (2, [("a", "i4"), ("b", "f8")])]
)
def test_all_shapes_and_types(shape: Any, dtype: Any) -> None:
    made = phalanx.zeros(shape, dtype)
    plain = np.zeros(shape, dtype)
    assert (made.shape, made.dtype) == (plain.shape, plain.dtype)
    assert np.array_equal(np.asarray(made), plain)
    with Executor(1) as executor:
        assert np.array_equal(np.asarray(executor.submit(same, made).result()), plain)


def test_python_objects_and_impossible_sizes_are_refused() -> None:
    with pytest.raises(TypeError, match="holds Python objects, which live in one process"):
        phalanx.empty(3, object)
    with pytest.raises(MemoryError, match="bytes of memory are left"):
        phalanx.empty(10**15)
