"""The one place where the engine sleeps."""

from __future__ import annotations

import os
import threading

from phalanx._platform.poller import Poller


def test_a_bell_wakes_the_next_wait_once() -> None:
    poller = Poller()
    poller.ring()
    poller.ring()
    assert len(poller.wait(10)) == 1
    assert poller.wait(0) == []
    poller.close()


def test_ringing_after_the_end_touches_no_descriptor() -> None:
    """Its number may belong to somebody else by then."""
    poller = Poller()
    poller.close()
    poller.close()
    strangers = [os.pipe() for _ in range(3)]
    for read, _ in strangers:
        os.set_blocking(read, False)
    poller.ring()
    for read, write in strangers:
        os.close(write)
        assert os.read(read, 100) == b""
        os.close(read)


def test_a_child_closes_its_copy_though_another_thread_was_ringing() -> None:
    poller = Poller()
    holder = threading.Thread(target=poller._closing.acquire)
    holder.start()
    holder.join()
    poller.close_in_child()
    poller.ring()
