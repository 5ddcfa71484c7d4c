"""Errors keep their facts wherever they travel, and are what the standard library's callers expect."""

import concurrent.futures
import concurrent.futures.process
import copy
import multiprocessing
import multiprocessing.pool
import pickle
import signal
import subprocess
import sys
from typing import Any

import pytest

from phalanx import errors
from phalanx._base.errors import _SIGNALS_IN_WORDS, describe_exit

ITEM = {"index": 7, "arguments": "(1, 'a')", "pid": 4711, "slot": 2}
FACTS: dict[type[errors.PhalanxError], dict[str, Any]] = {
    errors.PhalanxError: {},
    errors.WorkerLost: {
        "reason": "SIGKILL",
        "exitcode": -9,
        "signal": 9,
        "stderr": "last words",
        "stack": "File ...",
    },
    errors.TaskTimeout: {"limit": 2.5, "stack": "File ..."},
    errors.MemoryLimit: {"limit": 100, "seen": 120},
    errors.NotSendable: {
        "side": "result",
        "path": "result.lock",
        "exc": "TypeError()",
        "value": "<Box>",
        "traceback": "Traceback ...",
    },
    errors.WorkerStartFailed: {"cause": "ValueError: no", "exitcode": 1, "stderr": "last words"},
    errors.PoolClosed: {},
}
every_error = pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.__name__)


def make(kind: type[errors.PhalanxError]) -> errors.PhalanxError:
    return kind("what happened", **FACTS[kind], **ITEM)


def has_all_facts(error: errors.PhalanxError) -> bool:
    wanted = {**FACTS[type(error)], **ITEM}
    return str(error) == "what happened" and wanted.items() <= vars(error).items()


@every_error
def test_facts_given_by_keyword_are_attributes(kind: type[errors.PhalanxError]) -> None:
    assert has_all_facts(make(kind))


@every_error
def test_facts_not_given_are_none(kind: type[errors.PhalanxError]) -> None:
    assert all(getattr(kind("message"), fact) is None for fact in {**FACTS[kind], **ITEM})


@every_error
def test_message_is_the_only_argument(kind: type[errors.PhalanxError]) -> None:
    assert make(kind).args == ("what happened",)
    assert repr(make(kind)) == f"{kind.__name__}('what happened')"


@every_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_facts_and_notes_survive_pickling(kind: type[errors.PhalanxError], protocol: int) -> None:
    error = make(kind)
    error.add_note("item 7")
    rebuilt = pickle.loads(pickle.dumps(error, protocol))
    assert type(rebuilt) is kind
    assert has_all_facts(rebuilt)
    assert rebuilt.__notes__ == ["item 7"]


@every_error
def test_copy_has_the_facts_the_cause_and_notes_of_its_own(kind: type[errors.PhalanxError]) -> None:
    error = make(kind)
    error.add_note("shared so far")
    error.__cause__ = cause = KeyError("why")
    twin = copy.copy(error)
    twin.add_note("only here")
    assert has_all_facts(twin)
    assert twin.__cause__ is cause
    assert error.__notes__ == ["shared so far"]
    assert twin.__notes__ == ["shared so far", "only here"]


@every_error
def test_deep_copy_has_the_facts(kind: type[errors.PhalanxError]) -> None:
    assert has_all_facts(copy.deepcopy(make(kind)))


@every_error
def test_unknown_fact_is_refused(kind: type[errors.PhalanxError]) -> None:
    with pytest.raises(TypeError, match="colour"):
        kind("message", colour="red")  # type: ignore[call-arg]


@every_error
def test_error_belongs_to_its_public_module(kind: type[errors.PhalanxError]) -> None:
    assert kind.__module__ == "phalanx.errors"
    assert issubclass(kind, errors.PhalanxError)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (errors.WorkerLost, concurrent.futures.process.BrokenProcessPool),
        (errors.WorkerLost, concurrent.futures.BrokenExecutor),
        (errors.TaskTimeout, TimeoutError),
        (errors.TaskTimeout, multiprocessing.TimeoutError),
        (errors.MemoryLimit, MemoryError),
        (errors.NotSendable, pickle.PicklingError),
        (errors.NotSendable, multiprocessing.pool.MaybeEncodingError),
        (errors.WorkerStartFailed, concurrent.futures.process.BrokenProcessPool),
        (errors.PoolClosed, ValueError),
        (errors.PoolClosed, RuntimeError),
    ],
)
def test_error_is_also_the_standard_one(kind: type[errors.PhalanxError], base: type[Exception]) -> None:
    with pytest.raises(base, match=r"^what happened$"):
        raise make(kind)


def test_subclass_of_an_error_survives_pickling() -> None:
    error = DiskLost("gone", index=3, reason="SIGBUS")
    rebuilt = pickle.loads(pickle.dumps(error))
    assert (type(rebuilt), str(rebuilt), rebuilt.index, rebuilt.reason) == (DiskLost, "gone", 3, "SIGBUS")


class DiskLost(errors.WorkerLost):
    """A user's own."""


def test_task_error_is_a_record_that_travels() -> None:
    record = errors.TaskError(index=3, exception=ValueError("no"), arguments="(3,)", tries=2)
    rebuilt = pickle.loads(pickle.dumps(record))
    assert (rebuilt.index, rebuilt.arguments, rebuilt.tries) == (3, "(3,)", 2)
    assert repr(rebuilt.exception) == "ValueError('no')"
    assert not isinstance(record, BaseException)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-signal.SIGKILL, "SIGKILL"),
        (-signal.SIGTERM, "SIGTERM"),
        (-signal.SIGSEGV, "SIGSEGV (segmentation fault in C code)"),
        (-signal.SIGABRT, "SIGABRT (C code gave up and called abort())"),
        (0, "exit code 0 (os._exit or sys.exit?)"),
        (3, "exit code 3 (os._exit or sys.exit?)"),
        (-200, "signal 200"),
    ],
)
def test_exit_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words


def test_only_sigkill_is_what_the_oom_killer_sends() -> None:
    assert describe_exit(-signal.SIGKILL, oom_killed=True) == "SIGKILL; the kernel's OOM killer ran"
    assert describe_exit(-signal.SIGTERM, oom_killed=True) == "SIGTERM"
    assert describe_exit(None, oom_killed=True) == describe_exit(None)


@pytest.mark.parametrize("name", _SIGNALS_IN_WORDS)
def test_every_signal_that_is_put_into_words_is_one(name: str) -> None:
    assert name in signal.Signals.__members__


def test_unknown_exit_says_so() -> None:
    assert describe_exit(None).startswith("unknown: ")


def test_base_package_does_not_load_the_errors() -> None:
    program = "import sys, phalanx._base, phalanx._base.seams, phalanx._base.options; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"phalanx._base.errors", "multiprocessing", "concurrent.futures"} & set(loaded)
