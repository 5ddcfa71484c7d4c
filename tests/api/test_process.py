"""`phalanx.Process`: the standard one, and its result."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

import pytest

import phalanx
from phalanx.errors import NotSendable, WorkerLost


def add(left: int, right: int = 0) -> int:
    return left + right


def fail(text: str) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the traceback is printed, as always
    raise LookupError(text)


def large() -> bytes:
    return bytes(20_000_000)


def unsendable() -> Any:
    return threading.Lock()


def end(way: str) -> None:
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "os._exit":
        os._exit(0)
    elif way == "sys.exit with a code":
        sys.exit(3)
    else:
        sys.exit()


def nested() -> int:
    process = phalanx.Process(target=add, args=(1, 2))
    process.start()
    return int(process.result(60))


class Computes(phalanx.Process):
    def __init__(self, number: int) -> None:
        super().__init__(name="computes")
        self.number = number

    def run(self) -> Any:
        return self.number, self.name, phalanx.current_process().name


def started(start_method: str, target: Any, *args: Any, **kwargs: Any) -> Any:
    process = phalanx.get_context(start_method).Process(target=target, args=args, kwargs=kwargs)
    process.start()
    return process


def test_its_result_is_what_its_target_returned(start_method: str) -> None:
    process = started(start_method, add, 1, right=2)
    assert (process.result(60), process.exception(), process.exitcode) == (3, None, 0)
    assert process.result() == 3


def test_its_error_is_what_its_target_raised(start_method: str) -> None:
    process = started(start_method, fail, "nothing there")
    with pytest.raises(LookupError, match="nothing there") as raised:
        process.result(60)
    assert process.exitcode == 1
    assert process.exception() is raised.value
    assert "raise LookupError(text)" in str(raised.value.__cause__)
    assert any(process.name in note for note in raised.value.__notes__)


def test_a_result_that_nobody_asks_for_holds_nobody_up(start_method: str) -> None:
    process = started(start_method, large)
    process.join(60)
    assert process.exitcode == 0
    assert len(process.result()) == 20_000_000


def test_what_cannot_travel_says_so_and_is_a_normal_end(start_method: str) -> None:
    process = started(start_method, unsendable)
    with pytest.raises(NotSendable, match="lock"):
        process.result(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("way", "words"),
    [("killed", "SIGKILL"), ("os._exit", "exit code 0"), ("sys.exit with a code", "exit code 3")],
)
def test_an_end_without_a_result(start_method: str, way: str, words: str) -> None:
    process = started(start_method, end, way)
    with pytest.raises(WorkerLost, match=words) as raised:
        process.result(60)
    assert raised.value.pid == process.pid
    assert process.name in str(raised.value)
    assert raised.value.signal == (9 if way == "killed" else None)


def test_leaving_in_order_is_no_error() -> None:
    assert started("fork", end, "sys.exit").result(60) is None


def test_it_is_asked_too_early() -> None:
    read, write = os.pipe()
    process = started("fork", os.read, read, 1)
    with pytest.raises(TimeoutError, match="has not ended after 0 seconds"):
        process.result(0)
    os.write(write, b"x")
    assert process.result(60) == b"x"
    os.close(read)
    os.close(write)


def test_a_subclass_with_a_run_of_its_own() -> None:
    process = Computes(5)
    process.start()
    assert process.result(60) == (5, "computes", "computes")
    assert isinstance(process, multiprocessing.Process)


def test_the_standard_library_sees_it() -> None:
    read, write = os.pipe()
    process = started("fork", os.read, read, 1)
    assert process in multiprocessing.active_children()
    assert repr(process).startswith("<ForkProcess name='ForkProcess-")
    os.write(write, b"x")
    process.join()
    process.close()
    with pytest.raises(ValueError, match="closed"):
        process.result()
    os.close(read)
    os.close(write)


def test_it_can_be_started_once() -> None:
    process = started("fork", add, 1)
    with pytest.raises(AssertionError):
        process.start()
    assert process.result(60) == 1


def test_workers_of_a_pool_may_have_processes(start_method: str) -> None:
    with phalanx.Pool(1, start_method=start_method) as pool:
        assert pool.apply(nested) == 3
        assert pool.apply(nested) == 3


def add_one(number: Any) -> None:
    number.value += 1


def test_what_is_shared_is_shared_though_its_kind_was_new(start_method: str) -> None:
    """A kind of `Value` is known to pickle from the first of it on, and others may have been sent before."""
    context = phalanx.get_context(start_method)
    for kind in (ctypes.c_short, ctypes.c_longlong):
        number = context.Value(kind, 0, lock=False)
        process = context.Process(target=add_one, args=(number,))
        process.start()
        process.result(50)
        assert number.value == 1
