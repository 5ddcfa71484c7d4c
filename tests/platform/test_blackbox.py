"""A worker's last words stand in memory that its parent reads."""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phalanx._platform import blackbox
from phalanx._platform.pages import LocalPages, SharedPages

ASK, INSIST = blackbox.ASK_SIGNAL or 0, blackbox.INSIST_SIGNAL or 0


@pytest.fixture
def pages() -> Iterator[SharedPages]:
    found = SharedPages(8)
    yield found
    found.close()


def crash() -> None:
    ctypes.string_at(0)


def dump_myself() -> None:
    os.kill(os.getpid(), INSIST)


def ask_myself() -> None:
    os.kill(os.getpid(), ASK)


def record_and_crash(pages: SharedPages, index: int, worker: int) -> None:
    pages.record_stacks(index, worker)
    crash()


def in_child(function: Callable[[], object]) -> int:
    """Run it in a forked child; minus the signal, or 0, or 1 if it raised."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def work(pages: SharedPages, index: int, worker: int, *steps: Callable[[], object]) -> int:
    """A worker that records its stacks and then does these."""

    def live() -> None:
        pages.record_stacks(index, worker)
        for step in steps:
            step()

    return in_child(live)


def test_what_a_crash_says_is_there_when_the_process_is_gone(start_method: str, pages: SharedPages) -> None:
    context = multiprocessing.get_context(start_method)
    process = context.Process(target=record_and_crash, args=(pages, 5, 17))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGSEGV
    process.close()
    text = pages.account(5, 17)
    assert text is not None
    assert "Fatal Python error: Segmentation fault" in text
    assert "in crash\n" in text
    assert pages.account(4, 17) is None


def test_every_dump_on_request_is_added(pages: SharedPages) -> None:
    assert work(pages, 0, 1, *[dump_myself] * 3) == 0
    text = pages.account(0, 1) or ""
    assert text.count("Stack (most recent call first):\n") == 3
    assert text.count("in dump_myself\n") == 3


def test_between_two_bytecodes_all_threads_are_told(pages: SharedPages) -> None:
    def have_a_thread() -> None:
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        ask_myself()
        over.set()
        thread.join()

    assert work(pages, 0, 1, ask_myself, have_a_thread) == 0
    text = pages.account(0, 1) or ""
    first, second, rest = text.split("--- told\n")
    assert first.startswith("--- asked\n")
    assert first.count("hread 0x") == 1
    assert second.count("hread 0x") == 2
    assert "in have_a_thread\n" in second
    assert rest == ""


def test_no_memory_for_an_answer_is_none_of_the_users_business(pages: SharedPages) -> None:
    def lose_it() -> None:
        os.close(blackbox._own or -1)

    assert work(pages, 0, 1, lose_it, ask_myself) == 0
    assert pages.account(0, 1) == ""


def test_the_region_names_its_process(pages: SharedPages) -> None:
    assert pages.process_id(0, 1) is None
    assert work(pages, 0, 1) == 0
    assert pages.process_id(0, 1) not in (None, os.getpid())
    assert pages.process_id(0, 11) is None
    assert pages.process_id(0, 2**63) is None
    assert work(pages, 0, 2**63) == 0
    assert pages.process_id(0, 2**63) is not None


def test_a_later_worker_finds_the_region_empty(pages: SharedPages) -> None:
    assert work(pages, 0, 1, *[dump_myself] * 40) == 0
    assert len(pages.account(0, 1) or "") > 8192
    assert pages.account(0, 2) is None, "it has not begun"
    assert work(pages, 0, 2) == 0
    assert pages.account(0, 1) is None
    assert pages.account(0, 2) == ""
    assert work(pages, 0, 3, dump_myself) == 0
    assert (pages.account(0, 3) or "").count("Stack") == 1


def test_neighbours_do_not_write_over_each_other(pages: SharedPages) -> None:
    for index in (1, 0, 2):
        assert work(pages, index, index + 10, *[dump_myself] * 20) == 0
    assert [(pages.account(index, index + 10) or "").count("Stack") for index in range(3)] == [20] * 3


def test_the_pages_themselves_are_left_alone(pages: SharedPages) -> None:
    page = pages.page(0)
    page[0] = 2**64 - 1
    assert work(pages, 0, 1, *[dump_myself] * 5) == 0
    assert list(page) == [2**64 - 1, *[0] * 7]


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_child_of_the_worker_says_is_not_taken_for_the_workers(
    enabled: bool, pages: SharedPages, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is said where it would be without us: on stderr, if the user has asked for that."""

    def live() -> None:
        if enabled:
            faulthandler.enable(2)
        else:
            faulthandler.disable()
        pages.record_stacks(0, 1)
        assert in_child(crash) == -signal.SIGSEGV
        dump_myself()

    assert in_child(live) == 0
    text = pages.account(0, 1) or ""
    assert "Fatal" not in text
    assert "in dump_myself\n" in text
    assert ("in crash\n" in capfd.readouterr().err) == enabled


def test_a_file_that_a_child_has_opened_in_their_place_is_left_to_its_children(
    pages: SharedPages, tmp_path: Path
) -> None:
    """As in a daemon, which first closes all that it has inherited."""

    def be_a_daemon() -> None:
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.closerange(lowest, lowest + 100)
        taken = [os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT) for _ in range(100)]
        assert in_child(lambda: [os.pwrite(each, b"x", at) for at, each in enumerate(taken)]) == 0

    def live() -> None:
        spare = os.open(os.devnull, os.O_RDONLY)
        pages.record_stacks(0, 1)
        os.close(spare)
        assert in_child(be_a_daemon) == 0

    assert in_child(live) == 0
    assert (tmp_path / "file").read_bytes() == b"x" * 100


def test_a_worker_of_a_worker_has_words_of_its_own(pages: SharedPages) -> None:
    def be_a_parent() -> None:
        inner = SharedPages(1)
        assert work(inner, 0, 1, dump_myself, crash) == -signal.SIGSEGV
        text = inner.account(0, 1) or ""
        assert "Stack (most" in text
        assert "Fatal" in text

    assert work(pages, 0, 1, be_a_parent, dump_myself) == 0
    assert "Fatal" not in (pages.account(0, 1) or "")


def test_where_the_user_sends_last_words_himself_his_choice_stands(
    pages: SharedPages, tmp_path: Path
) -> None:
    path = tmp_path / "words"
    path.touch()

    def choose() -> None:
        faulthandler.enable(path.open("w"))

    assert work(pages, 0, 1, choose, crash) == -signal.SIGSEGV
    assert "in crash" in path.read_text()
    assert pages.account(0, 1) == ""


@pytest.mark.parametrize("signum", [ASK, INSIST])
def test_at_the_interpreters_end_the_signals_do_not_kill(signum: int, pages: SharedPages) -> None:
    def end() -> None:
        atexit._run_exitfuncs()
        faulthandler.unregister(INSIST)
        os.kill(os.getpid(), signum)

    assert work(pages, 0, 1, end) == 0
    assert pages.account(0, 1) == ""


def refuse(*args: object) -> int:
    raise FileNotFoundError(2, "no /proc here")


@pytest.mark.parametrize("lacking", ["proc", "memfd", "signal"])
def test_where_the_system_lacks_something_there_are_no_words_and_no_failure(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacking == "memfd":
        monkeypatch.delattr(os, "memfd_create")
    pages = SharedPages(1)
    if lacking == "proc":
        monkeypatch.setattr(os, "open", refuse)
    elif lacking == "signal":
        monkeypatch.setattr(blackbox, "ASK_SIGNAL", None)
    assert work(pages, 0, 1) == 0
    assert pages.account(0, 1) is None
    monkeypatch.undo()
    pages.close()


def test_no_memory_left_for_words_is_no_failure(pages: SharedPages, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    before = len(os.listdir("/proc/self/fd"))
    pages.record_stacks(0, 1)
    assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.undo()
    assert pages.account(0, 1) is None


def test_closed_pages_say_nothing(pages: SharedPages) -> None:
    assert work(pages, 0, 1) == 0
    pages.close()
    assert pages.account(0, 1) is None


def test_workers_of_this_process_say_nothing() -> None:
    pages = LocalPages(1)
    pages.record_stacks(0, 1)
    assert pages.account(0, 1) is None
