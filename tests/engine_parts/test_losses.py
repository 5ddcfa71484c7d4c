"""What is known of a dead worker is read at once, and told to whoever asks for its item."""

from __future__ import annotations

import copy
import pickle
import signal
from typing import Any

import pytest

from phalanx._base.identity import WorkerIdentity
from phalanx._base.page import PAGE_WORDS
from phalanx._base.seams import WorkerEnded
from phalanx._base.shortening import NOTHING_KNOWN, Arguments
from phalanx._engine.losses import Deaths, lost_item
from phalanx._engine.workers import Worker
from phalanx.errors import WorkerLost

CRASH = """\
Stack (most recent call first):
  File "/home/me/job.py", line 2 in asked_before
Fatal Python error: Segmentation fault

Current thread 0x00007f169400db80 (most recent call first):
  File "/home/me/job.py", line 7 in work
"""


class Words:
    """Pages whose workers all say the same."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.asked: list[tuple[int, int]] = []

    def account(self, page: int, worker: int) -> str | None:
        self.asked.append((page, worker))
        return self.text


def dead_worker(status: int | None) -> Worker:
    worker = Worker(WorkerIdentity(17, 1, 5), None, [0] * PAGE_WORDS)
    worker.pid = 4711
    worker.ended = WorkerEnded(17, status)
    return worker


def lost(status: int | None, words: Any = None, index: int = 3) -> WorkerLost:
    make = Deaths(in_process=False).lost_item(
        dead_worker(status), words or Words(""), lambda index: Arguments("x=1", 70)
    )
    error = make(index)
    assert isinstance(error, WorkerLost)
    return error


def test_the_error_has_what_was_always_known() -> None:
    error = lost(-signal.SIGTERM)
    assert (error.index, error.arguments, error.pid, error.slot, error.bytes_in) == (3, "x=1", 4711, 1, 70)
    assert (error.reason, error.signal, error.exitcode, error.stack) == ("SIGTERM", 15, None, None)
    assert str(error).startswith(
        "the worker process (pid 4711) that was running item 3 (x=1) ended: SIGTERM. Other items"
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_fatal_signal_is_told_with_the_stack_and_its_innermost_frame(name: str) -> None:
    words = Words(CRASH)
    error = lost(-signal.Signals[name], words)
    assert words.asked == [(5, 17)]
    assert str(error.reason).startswith(f"{name} (")
    assert f"{error.reason}, in work (/home/me/job.py, line 7). " in str(error)
    assert error.stack == '  File "/home/me/job.py", line 7, in work\n'


@pytest.mark.parametrize("status", [-signal.SIGKILL, -signal.SIGTERM, 3, 0, None])
def test_any_other_end_leaves_no_last_words(status: int | None) -> None:
    words = Words(CRASH)
    assert lost(status, words).stack is None
    assert words.asked == []


def test_what_was_only_an_answer_to_a_request_is_not_taken_for_last_words() -> None:
    error = lost(-signal.SIGSEGV, Words(CRASH[: CRASH.index("Fatal")]))
    assert error.stack is None
    assert "asked_before" not in str(error)


def test_a_fatal_signal_without_words_is_told_all_the_same() -> None:
    error = lost(-signal.SIGSEGV, Words(None))
    assert error.stack is None
    assert "SIGSEGV (segmentation fault in C code). Other items" in str(error)


def test_an_exit_code_is_told_in_words() -> None:
    error = lost(3)
    assert (error.exitcode, error.signal) == (3, None)
    assert "exit code 3 (os._exit or sys.exit?)" in str(error)


def test_an_end_that_somebody_else_has_heard_of_is_unknown() -> None:
    error = lost(None)
    assert (error.exitcode, error.signal) == (None, None)
    assert str(error.reason).startswith("unknown: ")


def test_what_the_oom_killer_did_is_told_with_what_to_do() -> None:
    make = lost_item(4711, 0, -signal.SIGKILL, lambda index: NOTHING_KNOWN, oom_killed=True)
    error = make(3)
    assert isinstance(error, WorkerLost)
    assert (error.reason, error.signal) == ("SIGKILL; the kernel's OOM killer ran", 9)
    for advice in ("fewer workers", "smaller items", "max_memory"):
        assert advice in str(error)


def test_a_sigkill_of_somebody_elses_is_not_put_on_the_kernel() -> None:
    assert lost(-signal.SIGKILL).reason == "SIGKILL"


def test_each_asker_gets_an_error_of_his_own_that_travels() -> None:
    make = Deaths(in_process=False).lost_item(
        dead_worker(-signal.SIGSEGV), Words(CRASH), lambda i: Arguments("1", 5_000_000)
    )
    error, other = make(3), make(3)
    assert error is not other
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)


def test_workers_that_are_threads_are_asked_nothing() -> None:
    deaths = Deaths(in_process=True)
    deaths.before_start()
    error = deaths.lost_item(dead_worker(-signal.SIGKILL), None, lambda index: NOTHING_KNOWN)(0)
    assert isinstance(error, WorkerLost)
    assert error.reason == "SIGKILL"
