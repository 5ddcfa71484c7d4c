"""What the caller has around it applies to its tasks, also in workers that are older than it."""

from __future__ import annotations

import contextvars
import locale
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import phalanx
from phalanx.errors import WorkerStartFailed
from tests.promises import surrounded
from tests.promises.surrounded import VARIABLE

Facts = dict[str, Any]


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, directory, path = locale.setlocale(locale.LC_ALL), os.getcwd(), list(sys.path)
    with warnings.catch_warnings():
        yield
    locale.setlocale(locale.LC_ALL, before)
    os.chdir(directory)
    sys.path[:] = path


class Both:
    """A pool and an executor, each asked by a call and by a map."""

    def __init__(self, method: str) -> None:
        context = phalanx.get_context(method)
        self.pool = phalanx.Pool(1, context=context)
        self.executor = phalanx.Executor(1, mp_context=context)

    def ask(self, *args: Any, function: Any = surrounded.facts) -> Facts:
        found = [
            self.pool.apply(function, args),
            self.executor.submit(function, *args).result(),
            self.pool.starmap(function, [args])[0],
            next(self.executor.map(function, *([each] for each in args))) if args else None,
        ]
        assert all(each == found[0] for each in found if each is not None)
        facts: Facts = found[0]
        return facts


@pytest.fixture
def both(start_method: str) -> Iterator[Both]:
    found = Both(start_method)
    with found.pool, found.executor:
        yield found


def test_directory_environment_warnings_locale_and_context(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOES", "1")
    before = both.ask()
    assert before == surrounded.facts()
    os.chdir(tmp_path)
    monkeypatch.setenv("COMES", "1")
    monkeypatch.delenv("GOES")
    warnings.simplefilter("error", BytesWarning)
    token = VARIABLE.set(Decimal(7))
    try:
        there = both.ask()
        assert there == surrounded.facts() != before
        assert (there["directory"], there["comes"], there["goes"]) == (str(tmp_path), "1", None)
        assert (there["variable"], there["raises"]) == (Decimal(7), True)
        # Within the same millisecond, perhaps; but somebody has waited for a result meanwhile.
        locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")
        both.ask()
        assert both.pool.map(surrounded.facts_of, range(3)) == [surrounded.facts()] * 3
    finally:
        VARIABLE.reset(token)


def test_what_was_changed_and_changed_back(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = both.ask()
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setenv("COMES", "1")
            patch.chdir(tmp_path)
            assert both.ask()["comes"] == "1"
        assert both.ask() == before


def test_a_worker_that_comes_later_begins_as_the_first(
    start_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds is what was when its pool began, or it would keep what its callers have long put back."""
    before = surrounded.facts()
    with phalanx.Pool(1, context=phalanx.get_context(start_method), maxtasksperchild=1) as pool:
        pool.apply(abs, (1,))
        with monkeypatch.context() as patch:
            patch.setenv("COMES", "1")
            patch.chdir(tmp_path)
            assert pool.apply(surrounded.facts)["comes"] == "1"  # and the next worker is started meanwhile
            assert pool.apply(surrounded.facts)["directory"] == str(tmp_path)
        assert [pool.apply(surrounded.facts) for _ in range(2)] == [before] * 2


def test_a_worker_can_come_though_the_directory_is_gone(
    start_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "soon").mkdir()
    monkeypatch.chdir(tmp_path / "soon")
    with phalanx.Pool(1, context=phalanx.get_context(start_method), maxtasksperchild=1) as pool:
        pool.apply(abs, (1,))
        os.chdir(tmp_path)
        (tmp_path / "soon").rmdir()
        assert [pool.apply(surrounded.facts)["directory"] for _ in range(3)] == [str(tmp_path)] * 3


def test_what_a_worker_has_changed_itself_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with phalanx.Executor(1, initializer=os.chdir, initargs=(tmp_path,)) as executor:
        assert executor.submit(os.getcwd).result() == str(tmp_path)
        monkeypatch.setenv("COMES", "1")
        assert executor.submit(os.getcwd).result() == str(tmp_path)
        monkeypatch.delenv("COMES")
        assert executor.submit(os.getcwd).result() == str(tmp_path)


def test_modules_on_a_path_that_is_new(both: Both, tmp_path: Path) -> None:
    """Of functions, and of arguments alone."""
    (tmp_path / "only_here.py").write_text(
        "class Thing:\n    pass\ndef kind(thing):\n    return type(thing).__name__\n"
    )
    both.ask()
    sys.path.append(str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        assert both.ask(only_here.Thing(), function=only_here.kind) == "Thing"  # type: ignore[comparison-overlap]
        assert both.ask(only_here.Thing(), function=surrounded.kind) == "Thing"  # type: ignore[comparison-overlap]
        assert both.pool.map(surrounded.kind, [only_here.Thing()] * 3, chunksize=3) == ["Thing"] * 3
    finally:
        sys.modules.pop("only_here", None)


def test_a_directory_that_is_gone_fails_the_call(tmp_path: Path) -> None:
    with phalanx.Executor(1) as executor:
        executor.submit(abs, 1).result()
        (tmp_path / "soon").mkdir()
        os.chdir(tmp_path / "soon")
        door = tmp_path / "door"
        os.mkfifo(door)
        held = executor.submit(surrounded.pass_through, door)
        future = executor.submit(surrounded.facts)
        os.chdir(tmp_path)
        with door.open("w"):
            (tmp_path / "soon").rmdir()
        assert held.result() is None
        # The worker stood in it: it cannot come back, and says so where it was to go on.
        assert executor.submit(abs, -1).result() == 1
        assert "directory" in str(future.exception() or future.result())


def test_context_variables_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with phalanx.Executor(2, backend="threads") as executor:
        token = VARIABLE.set(Decimal(7))
        assert executor.submit(VARIABLE.get).result() == 7
        assert list(executor.map(surrounded.get_and_set, range(4))) == [7] * 4
        assert executor.submit(surrounded.slot).result() in (0, 1)
        VARIABLE.reset(token)
        assert executor.submit(VARIABLE.get).result() is None


def test_what_cannot_be_sent_or_found_stays(both: Both) -> None:
    both.ask()
    nameless: contextvars.ContextVar[Any] = contextvars.ContextVar("nameless")
    nameless.set(1)
    token = VARIABLE.set(lambda: None)
    try:
        assert both.ask()["variable"] is None
    finally:
        VARIABLE.reset(token)


# -- worker_env, blas_threads ------------------------------------------------------------------------------


def test_an_environment_for_each_worker(start_method: str) -> None:
    with phalanx.Pool(
        2,
        context=phalanx.get_context(start_method),
        worker_env=lambda slot: {"DEVICE": f"device {slot}"},
        initializer=surrounded.keep_device,
    ) as pool:
        found = set(pool.map(surrounded.device_and_slot, range(20), chunksize=1))
    assert found <= {("device 0", "device 0", 0), ("device 1", "device 1", 1)}
    [fixed] = phalanx.map(os.getenv, ["DEVICE"], worker_env={"DEVICE": "all"}, start_method=start_method)
    assert fixed == "all"


def test_an_environment_comes_before_the_main_program_is_run(start_method: str, tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "program.py"
    path.write_text(
        "import os, phalanx\n"
        "early = os.environ.get('EARLY'), os.environ.get('OMP_NUM_THREADS')\n"
        "def tell(x):\n"
        "    return early, os.environ['EARLY']\n"
        f"found = phalanx.map(tell, [1], workers=1, start_method={start_method!r}, worker_env={{'EARLY': '1'}},\n"
        "    blas_threads=5)\n"
        "print(*found)\n"
    )
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True, timeout=50)
    early = "(None, None)" if start_method == "fork" else "('1', '5')"
    assert done.stdout == f"({early}, '1')\n"


@pytest.mark.parametrize("given", [{"A": 1}, {"": "a"}, {"A=": "b"}, {"A": "\0"}, "A=1"])
def test_an_environment_that_makes_no_sense(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="worker_env"):
        phalanx.Pool(1, worker_env=given)
    with pytest.raises(WorkerStartFailed, match="worker_env"):
        phalanx.map(abs, [1], worker_env=lambda slot: given)


def test_what_the_function_of_the_environment_raises() -> None:
    with pytest.raises(WorkerStartFailed) as caught:
        phalanx.map(abs, [1], worker_env=lambda slot: {}["nothing"])
    assert isinstance(caught.value.__cause__, KeyError)
    assert "worker_env for slot 0" in caught.value.__cause__.__notes__[0]


def test_threads_of_numerical_libraries(start_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.setenv("PHALANX_WORKERS", "2")

    def found(**options: Any) -> Any:
        return phalanx.map(surrounded.threads, range(2), start_method=start_method, **options)[0]

    used, variables = found(workers=2)
    assert set(used) == {1}
    assert variables == ("1", "7"), "what the user has set stands"
    assert found(workers=1)[1] == ("2", "7")
    assert found(workers=2, blas_threads=2)[1] == ("2", "2"), "unless something else is asked for"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_to_limit_threads_starts_none() -> None:
    """OpenBLAS answers a fork's first call by starting all its threads, each of which spins for 0.1 s."""
    pytest.importorskip("numpy")
    for found in phalanx.map(surrounded.threads_of_all_kinds, range(8), start_method="fork", workers=2):
        assert found["of the system"] == found["of Python"]
        assert found["that may be used"] == [1]


def test_options_about_processes_are_refused_elsewhere() -> None:
    for option in ({"worker_env": {}}, {"blas_threads": 1}):
        with pytest.raises(ValueError, match="is about processes"):
            phalanx.map(abs, [1], backend="threads", **option)


def test_warnings_that_were_reset(both: Both) -> None:
    """No filters are filters too."""
    both.ask()
    warnings.resetwarnings()
    assert both.ask() == surrounded.facts()


def test_values_that_cannot_be_compared_or_looked_at(both: Both) -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    both.ask()
    for _ in range(3):
        token = VARIABLE.set(Array())
        assert both.executor.submit(abs, -1).result() == 1
        assert both.pool.map(abs, [-1]) == [1]
        VARIABLE.reset(token)


def test_threads_with_contexts_of_their_own(both: Both) -> None:
    """As in a server with a context for each request: each call has its own, and workers keep none of them."""
    both.ask()

    def ask(number: int) -> None:
        VARIABLE.set(number)
        for _ in range(20):
            assert both.executor.submit(surrounded.facts).result()["variable"] == number

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(ask, n)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert both.ask()["variable"] is None
    session: Any = both.executor._inspected()
    assert len(session.engine.payloads) < 10


def any_keywords(*args: Any, **keywords: Any) -> dict[str, Any]:
    return keywords


@pytest.mark.parametrize("options", [{}, {"seed": 1}, {"retries": 1, "retry_on": (OSError,)}])
def test_keywords_may_have_any_name(options: dict[str, Any], tmp_path: Path) -> None:
    """Whatever is wrapped around a function takes none of them for its own."""
    with phalanx.Executor(1) as executor:
        executor.submit(abs, 1).result()
        os.chdir(tmp_path)
        view = executor.options(**options)
        assert view.submit(any_keywords, self=1, fn=2, args=3).result() == {"self": 1, "fn": 2, "args": 3}
