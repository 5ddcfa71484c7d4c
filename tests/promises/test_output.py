"""What tasks print and log: `capture`."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import pytest

import phalanx
from phalanx._base.output import STDOUT
from phalanx._worker.capturing import Stream
from phalanx.errors import WorkerLost, WorkerStartFailed
from tests.promises import talking


def run(function: Any, method: str, count: int = 4, **options: Any) -> None:
    found = phalanx.map(function, range(count), workers=2, start_method=method, capture="forward", **options)
    assert found == list(range(count))


def test_prints_come_as_whole_lines(start_method: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(talking.say, start_method)
    out = capsys.readouterr().out
    assert sorted(out.splitlines()) == sorted(
        line for x in range(4) for line in (f"line {x}", f"begun and ended {x}")
    )


def test_prints_come_before_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    with phalanx.Executor(1, capture="forward") as executor:
        for x in range(20):
            executor.submit(talking.say, x).result()
            assert capsys.readouterr().out == f"line {x}\nbegun and ended {x}\n"


def test_what_nobody_ends_is_a_line_when_the_batch_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with phalanx.Pool(1, capture="forward") as pool:
        assert pool.apply(talking.say_in_pieces, (1,)) == 1
        assert capsys.readouterr().out == "ab1\n"


def test_a_print_is_one_message_or_whole_lines() -> None:
    said: list[str] = []
    stream = Stream(lambda kind, text: said.append(text), STDOUT, sys.stdout)
    print("a\nb", file=stream)
    print("c", end="", file=stream)
    print("d\ne", file=stream)
    assert said == ["a\nb\n", "cd\ne\n"]
    said.clear()
    x, y = "x" * 5_000, "y" * 7_000
    print(f"{x}\n{y}", file=stream)
    assert said == [f"{x}\n", f"{y}\n"]
    said.clear()
    stream.write(x + y)
    assert said == [x + y], "so long a line is not waited for"


def test_several_lines_of_one_print_stay_together(capsys: pytest.CaptureFixture[str]) -> None:
    run(talking.say_much, "fork", 8, chunksize=1)
    owners = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert [owners[at : at + 50] for at in range(0, 400, 50)] == [
        [owners[at]] * 50 for at in range(0, 400, 50)
    ]


def test_lines_of_threads_are_not_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    run(talking.say_from_threads, "fork", 2)
    expected = [f"{name} {n} of {x}" for x in range(2) for name in "ab" for n in range(20)]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)


def test_stderr_and_warnings(start_method: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(talking.complain, start_method, 1)
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "hm 0\n")
    if start_method == "spawn":  # a forked worker has pytest's way to show a warning
        with warnings.catch_warnings(action="default"):
            run(talking.warn, start_method, 1)
        assert "UserWarning: careful 0" in capsys.readouterr().err


def test_the_last_lines_of_who_was_killed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkerLost) as caught:
        phalanx.map(talking.complain_and_die, [1], capture="forward")
    assert caught.value.stderr == "\n".join(f"complaint {n}" for n in range(10, 30))
    assert capsys.readouterr().err.splitlines() == [f"complaint {n}" for n in range(30)]


@pytest.mark.parametrize("initializer", [talking.complain_and_fail, talking.complain_and_die])
def test_the_last_lines_of_who_could_not_start(
    initializer: Any, start_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        phalanx.Executor(
            1, start_method=start_method, initializer=initializer, initargs=(1,), capture="forward"
        ) as executor,
        pytest.raises(WorkerStartFailed) as caught,
    ):
        executor.submit(abs, 1).result()
    lines = (caught.value.stderr or "").splitlines()
    assert lines == [f"complaint {n}" for n in range(10, 30)]
    assert capsys.readouterr().err.count("complaint") == 30


def test_records_come_to_our_handlers_with_their_levels(
    start_method: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "talking")
    monkeypatch.setattr(logging.getLogger("talking.quiet"), "level", logging.ERROR)
    run(talking.log, start_method, 2, chunksize=1)
    mine = [record for record in caplog.records if record.name.startswith("talking")]
    assert sorted((record.levelname, record.getMessage(), record.task_index) for record in mine) == [
        ("ERROR", "failed", 0),
        ("ERROR", "failed", 1),
        ("INFO", "info 0", 0),
        ("INFO", "info 1", 1),
    ]
    for record in mine:
        assert record.process is not None
        assert record.processName is not None
        assert record.slot in (0, 1)
        assert "PoolWorker" in record.processName
        assert "more" not in vars(record) or record.more == f"{{'a': {record.task_index}}}"
    [failed, *_] = [record for record in mine if record.levelname == "ERROR"]
    assert failed.exc_text is not None
    assert "ValueError: " in failed.exc_text


def test_no_handler_of_the_worker_sees_a_record(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.__stderr__)
    logger = logging.getLogger("talking")
    logger.addHandler(handler)
    try:
        run(talking.log, "fork", 1)
    finally:
        logger.removeHandler(handler)
    assert capfd.readouterr().err.count("failed\n") == 1


def test_the_order_of_one_worker_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with phalanx.Pool(1, capture="forward") as pool:
        pool.map(talking.say, range(200))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("line")]
    assert said == [f"line {x}" for x in range(200)]


def test_initializers_and_what_runs_at_the_end(start_method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with phalanx.Executor(
        1, mp_context=phalanx.get_context(start_method), initializer=talking.bye, capture="forward"
    ) as executor:
        executor.submit(abs, 1).result()
    assert capsys.readouterr().out == "hello from 0\nbye\n"


def test_discarded(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    phalanx.map(talking.say, range(4), workers=2, capture="discard")
    phalanx.map(talking.log, range(4), workers=2, capture="discard")
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("talking")]


def test_a_stream_of_the_caller_that_fails_harms_no_item(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise BrokenPipeError("no reader")

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stdout", Broken())
    run(talking.say, "fork")
    assert "while output of a task was shown" in capsys.readouterr().err


def test_the_stream_answers_as_the_one_before(capfd: pytest.CaptureFixture[str]) -> None:
    [(isatty, fileno, encoding)] = phalanx.map(talking.where, [1], capture="forward")
    assert not isatty
    assert isinstance(fileno, int)
    assert encoding.lower() == "utf-8"
    with pytest.raises(TypeError, match="must be str, not bytes"):
        phalanx.map(talking.write_bytes, [1], capture="forward")


def test_nothing_is_sent_when_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count: the frames that a worker sends for a batch that prints."""
    from phalanx._wire import frames

    seen = []
    read = phalanx._engine.packing.PicklePacker.read  # type: ignore[attr-defined]
    monkeypatch.setattr(
        phalanx._engine.packing.PicklePacker,  # type: ignore[attr-defined]
        "read",
        lambda self, kind, body: (seen.append(kind), read(self, kind, body))[1],
    )
    phalanx.map(talking.say, range(4), workers=1)
    assert frames.OUTPUT not in seen
    assert frames.RESULTS in seen


def test_threads_print_here_anyway(capsys: pytest.CaptureFixture[str]) -> None:
    phalanx.map(talking.say, [1], backend="threads", capture="forward")
    assert "line 1\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="capture is about processes"):
        phalanx.map(talking.say, [1], backend="threads", capture="discard")
    with pytest.raises(ValueError, match="capture must be one of"):
        phalanx.map(talking.say, [1], capture="lines")
