"""Lender and borrower as real processes: either may fork, and either may be killed."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from phalanx._memory import Borrowed, Depot, Loan, pack
from tests.memory.crossing import Crossing

BASE = np.arange(200_000, dtype="f8")


def child(body: Callable[[], object]) -> int:
    """A forked process that ends with 0 if `body` returns something true."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if body() else 1)
        finally:
            os._exit(2)
    return pid


def status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def post(sock: socket.socket, loan: Loan) -> None:
    socket.send_fds(sock, [loan.block.size.to_bytes(8, "little") + loan.data], [loan.block.descriptor])


def receive(sock: socket.socket, borrowed: Borrowed) -> Any:
    data, numbers, _, _ = socket.recv_fds(sock, 65_536, 1)
    borrowed.learn(int.from_bytes(data[8:16], "little"), int.from_bytes(data[:8], "little"), numbers[0])
    return borrowed.open(data[8:]).load()


def lent(obj: Any, depot: Depot) -> Loan:
    loan = pack(pickle.dumps, obj, depot)
    assert isinstance(loan, Loan)
    return loan


def test_an_array_goes_there_and_back() -> None:
    ours, theirs = socket.socketpair()

    def double() -> bool:
        ours.close()
        depot = Depot()
        arrived = receive(theirs, Borrowed(deque()))
        arrived *= 2
        post(theirs, lent(arrived, depot))
        return theirs.recv(1) == b"x"

    pid = child(double)
    theirs.close()
    depot, borrowed = Depot(), Borrowed(deque())
    loan = lent(BASE, depot)
    post(ours, loan)
    result = receive(ours, borrowed)
    assert np.array_equal(result, BASE * 2)
    assert np.array_equal(np.frombuffer(loan.block.map, count=BASE.size), BASE)
    ours.send(b"x")
    assert status(pid) == 0
    assert np.array_equal(result, BASE * 2)
    ours.close()
    depot.close()
    borrowed.close()


def test_a_killed_lender_leaves_its_loans_and_no_names() -> None:
    ours, theirs = socket.socketpair()
    before = set(os.listdir("/dev/shm"))

    def lend() -> bool:
        ours.close()
        loan = lent(BASE, Depot())
        post(theirs, loan)
        signal.pause()
        return False

    pid = child(lend)
    theirs.close()
    borrowed = Borrowed(deque())
    arrived = receive(ours, borrowed)
    os.kill(pid, signal.SIGKILL)
    assert status(pid) == -signal.SIGKILL
    arrived += 1
    assert np.array_equal(arrived, BASE + 1)
    assert set(os.listdir("/dev/shm")) == before
    ours.close()
    borrowed.close()


def test_a_killed_borrower_leaves_its_lender_everything() -> None:
    ours, theirs = socket.socketpair()
    before = set(os.listdir("/dev/shm"))

    def borrow() -> bool:
        ours.close()
        arrived = receive(theirs, Borrowed(deque()))
        arrived[:] = 0
        theirs.send(b"x")
        signal.pause()
        return False

    pid = child(borrow)
    theirs.close()
    depot = Depot()
    loan = lent(BASE, depot)
    first = loan.block_id
    depot.hold(first)
    post(ours, loan)
    assert ours.recv(1) == b"x"
    os.kill(pid, signal.SIGKILL)
    assert status(pid) == -signal.SIGKILL
    assert np.array_equal(np.frombuffer(loan.block.map, count=BASE.size), BASE)
    del loan
    gc.collect()
    depot.let_go(first)
    assert lent(BASE, depot).block_id == first
    assert set(os.listdir("/dev/shm")) == before
    ours.close()
    depot.close()


def test_a_forked_child_of_the_borrower_goes_on_seeing_what_there_was(crossing: Crossing) -> None:
    """Though its parent is through with it, and the lender has lent others of that size since."""
    arrived = [crossing.send(BASE)]
    go, wait = os.pipe()

    def look_later() -> bool:
        os.close(wait)  # or it would wait for ever if its parent failed
        return os.read(go, 1) == b"x" and np.array_equal(arrived[0], BASE)

    pid = child(look_later)
    arrived.clear()
    first = crossing.settle()
    for n in range(5):
        later = crossing.send(BASE + n)
        assert later[0] == n
        del later
        assert crossing.settle() != first
    os.write(wait, b"x")
    assert status(pid) == 0
    os.close(go)
    os.close(wait)


def test_what_a_forked_child_writes_is_its_own(crossing: Crossing) -> None:
    arrived = crossing.send(BASE)

    def write() -> bool:
        arrived[:] = 0
        return not arrived.any()

    assert status(child(write)) == 0
    assert np.array_equal(arrived, BASE)


def test_the_child_of_a_lender_gives_nothing_back_in_its_name(crossing: Crossing) -> None:
    loan = crossing.lend(BASE)
    holder = [loan]

    def drop() -> bool:
        holder.clear()
        gc.collect()
        return pack(pickle.dumps, BASE, crossing.depot) == pickle.dumps(BASE, 5)

    assert status(child(drop)) == 0
    assert crossing.lend(BASE).block_id != loan.block_id
    assert np.array_equal(crossing.open(loan).load(), BASE)


def test_nothing_heavy_is_loaded() -> None:
    """A worker loads this with the first block that comes."""
    code = "import sys, phalanx._memory; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "numpy",
        "ctypes",
        "dataclasses",
        "inspect",
        "logging",
        "psutil",
        "tempfile",
        "traceback",
    }


def test_what_is_lent_and_borrowed_at_the_end_of_the_interpreter_goes_quietly() -> None:
    code = """
import os, pickle, numpy as np
from tests.memory.crossing import Crossing
crossing = Crossing()
loan = crossing.lend(np.ones(100_000))
kept = [loan, crossing.open(loan), crossing.open(loan).load()]
kept.append(kept)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
