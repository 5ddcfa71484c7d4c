"""A worker tells its stack while it runs, and goes on."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from phalanx._platform import blackbox
from phalanx._platform.asking import StackRequest, ask_for_stack
from phalanx._platform.pages import LocalPages, SharedPages
from tests.promises.tasks import wait_until

# About a second.
MANY = 60_000_000


@pytest.fixture
def pages() -> Iterator[SharedPages]:
    found = SharedPages(4)
    yield found
    found.close()


def lives_in_c() -> None:
    """The interpreter's lock is held all the time, and nobody looks for signals."""
    assert sum(range(MANY)) == MANY * (MANY - 1) // 2


def lives_in_a_hopeless_search() -> None:
    """C code that looks for signals now and then."""
    assert re.fullmatch(r"(a+)+b", "a" * 25) is None


def lives_in_python() -> None:
    """In code that cannot stand being interrupted in the midst of a bytecode."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        sorted(map(str, range(300)), key=lambda text: text[::-1])
        re.sub(r"(\w)", lambda match: match[1].upper(), "some text" * 50)


def lives_asleep() -> None:
    began = time.monotonic()
    time.sleep(1)
    assert time.monotonic() - began >= 1


def lives_in_a_lock() -> None:
    began = time.monotonic()
    assert not _TAKEN.acquire(timeout=1)
    assert time.monotonic() - began >= 1


_TAKEN = threading.Lock()
_TAKEN.acquire()


@contextmanager
def worker(pages: SharedPages, number: int, *steps: Callable[[], object]) -> Iterator[int]:
    """A process that does these and must end well."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            pages.record_stacks(0, number)
            for step in steps:
                step()
            code = 0
        finally:
            os._exit(code)
    try:
        assert wait_until(lambda: pages.account(0, number) is not None)
        yield pid
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def ask(pages: SharedPages, number: int, pid: int) -> StackRequest:
    return ask_for_stack(pages, 0, number, lambda signum: os.kill(pid, signum))


def has_settled(request: StackRequest) -> bool:
    """Where these workers are stuck in C, no frame of ours tells that the dump is whole: they have none."""
    return bool(request.text()) and request.is_over()


LIVES = [lives_in_c, lives_in_python, lives_asleep, lives_in_a_lock, lives_in_a_hopeless_search]


@pytest.mark.parametrize("life", LIVES)
def test_whatever_it_is_doing_it_says_where_and_goes_on(life: Callable[[], None], pages: SharedPages) -> None:
    with worker(pages, 1, life) as pid:
        requests = []
        for _ in range(5):
            request = ask(pages, 1, pid)
            assert request.refused is None
            assert wait_until(lambda: f"in {life.__name__}\n" in request.text())  # noqa: B023
            assert wait_until(lambda: has_settled(request))  # noqa: B023
            requests.append(request)
        assert len(set(requests)) == 5
        assert all(f"in {life.__name__}\n" in request.text() for request in requests)


def test_who_asks_before_the_answer_has_come_gets_the_same(pages: SharedPages) -> None:
    with worker(pages, 1, lives_asleep) as pid:
        os.kill(pid, signal.SIGSTOP)
        first = ask(pages, 1, pid)
        second = ask(pages, 1, pid)
        assert first is second
        assert first.text() == ""
        assert not first.is_whole()
        os.kill(pid, signal.SIGCONT)
        assert wait_until(lambda: has_settled(first))
        assert first.text().count("in lives_asleep\n") == 1
        assert ask(pages, 1, pid) is not first


def test_one_that_has_not_begun_is_left_alone(pages: SharedPages) -> None:
    """The signal would kill it."""
    sent: list[int] = []
    request = ask_for_stack(pages, 0, 1, sent.append)
    assert "just starting" in (request.refused or "")
    assert (sent, request.text(), request.is_whole()) == ([], "", False)
    assert ask_for_stack(pages, 0, 1, sent.append) is not request


def test_a_later_worker_does_not_inherit_the_question(pages: SharedPages) -> None:
    with worker(pages, 1, lives_asleep) as pid:
        first = ask_for_stack(pages, 0, 1, lambda signum: None)
        assert ask(pages, 1, pid) is first
    with worker(pages, 2, lives_asleep) as pid:
        second = ask(pages, 2, pid)
        assert second is not first
        assert wait_until(lambda: has_settled(second))
        assert first.text() == ""


def test_one_that_is_gone_gives_no_answer(pages: SharedPages) -> None:
    with worker(pages, 1):
        pass
    request = ask_for_stack(pages, 0, 1, lambda signum: None)
    assert (request.refused, request.text(), request.is_whole()) == (None, "", False)


def test_when_there_is_no_more_room_it_says_so(pages: SharedPages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "ASK_BELOW", 0)
    with worker(pages, 1) as pid:
        assert "so often" in (ask(pages, 1, pid).refused or "")


def test_workers_of_this_process_cannot_be_asked() -> None:
    request = ask_for_stack(LocalPages(1), 0, 1, lambda signum: None)
    assert request.refused is not None


class Sent(list[int]):
    """Which signals were sent, and whether they arrive."""

    def __init__(self, pid: int, arrives: bool = True) -> None:
        super().__init__()
        self.pid = pid
        self.arrives = arrives

    def __call__(self, signum: int) -> None:
        self.append(signum)
        if self.arrives:
            os.kill(self.pid, signum)


def test_one_that_runs_python_is_never_asked_with_insistence(pages: SharedPages) -> None:
    """It would die of it, sooner or later."""
    with worker(pages, 1, lives_in_python) as pid:
        send = Sent(pid)
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            request = ask_for_stack(pages, 0, 1, send)
            assert wait_until(request.is_whole)
            assert "in lives_in_python\n" in request.text()
        assert len(send) > 10
        assert set(send) == {blackbox.ASK_SIGNAL}


def test_one_that_has_not_come_to_run_is_not_asked_with_insistence(pages: SharedPages) -> None:
    with worker(pages, 1, lives_asleep) as pid:
        os.kill(pid, signal.SIGSTOP)
        send = Sent(pid)
        request = ask_for_stack(pages, 0, 1, send)
        assert not wait_until(request.is_whole, 0.1)
        assert send == [blackbox.ASK_SIGNAL]
        os.kill(pid, signal.SIGCONT)
        assert wait_until(request.is_whole)


def test_one_that_is_in_c_is_asked_with_insistence_once(pages: SharedPages) -> None:
    with worker(pages, 1, lives_in_c) as pid:
        send = Sent(pid)
        request = ask_for_stack(pages, 0, 1, send)
        assert wait_until(lambda: has_settled(request))
        assert send == [blackbox.ASK_SIGNAL, blackbox.INSIST_SIGNAL]
        assert request.text().startswith("Stack")


def test_what_it_answers_late_is_not_mixed_into_what_it_answered_at_once(pages: SharedPages) -> None:
    with worker(pages, 1, lives_in_c) as pid:
        request = ask(pages, 1, pid)
        assert wait_until(lambda: has_settled(request))
        text = request.text()
    assert "--- told" in (pages.account(0, 1) or ""), "it has come to its next bytecode"
    assert request.text() == text


def test_its_other_threads_are_told_and_do_not_get_in_the_way(pages: SharedPages) -> None:
    """They run while they are asked."""

    def have_busy_threads() -> None:
        over = threading.Event()

        def dig(depth: int) -> int:
            return dig(depth - 1) if depth else 0

        def run() -> None:
            while not over.is_set():
                dig(500)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        lives_asleep()
        over.set()
        for thread in threads:
            thread.join()

    with worker(pages, 1, have_busy_threads) as pid:
        until = time.monotonic() + 0.8
        answers = 0
        while time.monotonic() < until:
            request = ask(pages, 1, pid)
            # Or it waits for the interpreter's lock so long that it is asked with insistence.
            assert wait_until(lambda: has_settled(request))  # noqa: B023
            answers += "in have_busy_threads\n" in request.text() and "in run\n" in request.text()
        assert answers > 5
