"""Forked children close what is not theirs, and forget whose handlers they inherited."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable

from phalanx._platform import forked


def verdict_of_child(check: Callable[[], bool]) -> bool:
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_child_closes_its_copy_and_the_parent_keeps_its_own() -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    forked.close_in_children(ours)
    assert verdict_of_child(lambda: not is_open(number) and is_open(theirs.fileno()))
    assert is_open(number)
    ours.close()
    theirs.close()


def test_what_is_gone_is_forgotten() -> None:
    gc.collect()  # or the lowest free number might be one that other garbage gave back
    read, write = os.pipe()
    forked.close_in_children(forked.Descriptor(read))
    gc.collect()
    assert not is_open(read)
    # The number may be another's by now.
    other = os.dup(write)
    assert other == read
    assert verdict_of_child(lambda: is_open(other))
    os.close(write)
    os.close(other)


def test_one_that_cannot_be_closed_does_not_keep_the_next_open() -> None:
    class Stubborn:
        def close(self) -> None:
            raise RuntimeError("no")

    stubborn = [Stubborn() for _ in range(5)]
    read, write = map(forked.Descriptor, os.pipe())
    for closable in (*stubborn, read, write):
        forked.close_in_children(closable)
    numbers = [read.number, write.number]
    assert verdict_of_child(lambda: not any(map(is_open, numbers)))
    read.close()
    write.close()


def test_a_child_can_make_descriptors_though_its_forking_thread_was_making_some() -> None:
    def make() -> bool:
        done = []

        def body() -> None:
            with forked.making_descriptors():
                done.append(True)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join(20)
        return bool(done)

    with forked.making_descriptors():
        assert verdict_of_child(make)
