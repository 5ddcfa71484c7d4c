"""Progress is shown by a bar or told to a callable, and never disturbs anything else."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest
import tqdm

from phalanx._observe.progress import ProgressDisplay


class Broken(io.StringIO):
    """A stream whose other end has gone; whole for the first `writes`."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes = writes

    def write(self, text: str) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise BrokenPipeError
        return super().write(text)


class Collected(list[Any]):
    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))


def test_callable_is_handed_done_and_total() -> None:
    seen = Collected()
    with ProgressDisplay.open(seen, 10) as display:
        display.update(4)
        display.update(10)
    assert seen == [(4, 10), (10, 10)]


def test_callable_is_told_none_where_nobody_knows_the_total() -> None:
    seen = Collected()
    with ProgressDisplay.open(seen, None) as display:
        display.update(4)
    assert seen == [(4, None)]


def test_callable_is_not_told_what_it_knows() -> None:
    seen = Collected()
    with ProgressDisplay.open(seen, 10) as display:
        display.update(0)
        display.update(4)
        display.update(4)
    assert seen == [(4, 10)]


def test_what_a_callable_raises_ends_the_call() -> None:
    def report(done: int, total: int | None) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="4 of 10"), ProgressDisplay.open(report, 10) as display:
        display.update(4)


def test_callable_is_called_by_the_thread_that_updates() -> None:
    threads: list[threading.Thread] = []
    with ProgressDisplay.open(lambda done, total: threads.append(threading.current_thread()), 1) as display:
        display.update(1)
    assert threads == [threading.current_thread()]


def test_false_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay.open(False, 10) as display:
        display.update(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("progress", "title"), [(True, "default"), ("reading", "reading")])
def test_bar_shows_title_and_count(progress: Any, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay.open(progress, 10, "default") as display:
        display.update(4)
        display.update(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{title}: 100%" in err
    assert "10/10" in err


def test_bar_of_unknown_length_shows_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay.open(True, None) as display:
        display.update(1234)
    assert "1234it" in capsys.readouterr().err


def test_bar_stands_where_the_call_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), ProgressDisplay.open(True, 10) as display:
        display.update(4)
        raise KeyError
    assert "4/10" in capsys.readouterr().err.splitlines()[-1]


def test_closing_twice_is_closing_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = ProgressDisplay.open(True, 10)
    display.close()
    once = capsys.readouterr().err
    display.close()
    display.update(5)
    assert once
    assert capsys.readouterr().err == ""


def test_bar_is_drawn_ten_times_a_second_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with ProgressDisplay.open(True, 20_000) as display:
        for done in range(20_000):
            display.update(done + 1)
    passed = time.monotonic() - began
    # One drawing each at the beginning and at the end.
    assert capsys.readouterr().err.count("\r") <= passed / 0.1 + 2


def test_bar_has_no_thread_and_leaves_the_users_tqdm_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = (tqdm.tqdm.monitor_interval, tqdm.tqdm.monitor, "_lock" in vars(tqdm.tqdm))
    threads = threading.enumerate()
    with ProgressDisplay.open(True, 10) as display:
        display.update(1)
        assert threading.enumerate() == threads
    assert (tqdm.tqdm.monitor_interval, tqdm.tqdm.monitor, "_lock" in vars(tqdm.tqdm)) == before
    assert not tqdm.tqdm._instances  # type: ignore[attr-defined]


def test_bar_within_the_users_bar_has_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Users(tqdm.tqdm):  # type: ignore[type-arg]
        monitor_interval = 0

    monkeypatch.setattr(tqdm.tqdm, "_lock", threading.RLock(), raising=False)
    with Users(total=2), ProgressDisplay.open("inner", 10) as display:
        display.update(10)
    assert "\n\rinner" in capsys.readouterr().err


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_bar_that_cannot_be_drawn_harms_nothing(writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(writes))
    with ProgressDisplay.open(True, 10) as display:
        display.update(5)
        display._bar = display._bar and _overdue(display._bar)  # type: ignore[attr-defined]
        display.update(10)


def _overdue(bar: Any) -> Any:
    bar.last_print_t = 0
    return bar


@pytest.mark.parametrize("stream", [None, "closed"])
def test_bar_without_a_stream_harms_nothing(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressDisplay.open(True, 10) as display:
        display.update(5)


def test_bar_does_not_settle_the_start_method() -> None:
    program = """
        import multiprocessing
        from phalanx._observe.progress import ProgressDisplay
        with ProgressDisplay.open(True, 10) as display:
            display.update(10)
        print(multiprocessing.get_start_method(allow_none=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "None\n"
    assert "10/10" in run.stderr


def test_tqdm_is_loaded_only_for_a_bar() -> None:
    program = """
        import sys
        from phalanx._observe.progress import ProgressDisplay
        ProgressDisplay.open(print, 10).close()
        assert "tqdm" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
