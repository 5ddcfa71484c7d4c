"""Waiting for everything at once: the one place where the engine sleeps."""

from __future__ import annotations

import os
import select
import threading

from phalanx._platform.spinning import Spin
from phalanx._platform.waiting import make_bell

_READ = select.EPOLLIN if hasattr(select, "epoll") else select.POLLIN
_WRITE = select.EPOLLOUT if hasattr(select, "epoll") else select.POLLOUT


class Poller:
    """Descriptors to read from (and some to write to), and a bell that other threads can ring.

    Registrations may change while another thread waits. What is ready stays ready until it is dealt with, so
    an answer that an exception tears away is given again.
    """

    def __init__(self) -> None:
        self._poll = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._milliseconds = not hasattr(select, "epoll")
        self._spin = Spin(self._poll.poll)
        self._bell_read, self._bell_write = make_bell()
        self._known: set[int] = set()
        # Other threads ring until the very end, and must not ring what has got that number since.
        self._closing = threading.RLock()
        try:
            self.watch(self._bell_read)
        except BaseException:
            os.close(self._bell_read)
            if self._bell_write != self._bell_read:
                os.close(self._bell_write)
            raise

    def watch(self, descriptor: int, writable: bool = False) -> None:
        """Report this one when it can be read, or (if `writable`) written too. May be asked again to change."""
        mask = _READ | (_WRITE if writable else 0)
        # What is in `_known` and what the kernel knows may differ by one step that was struck.
        self._known.add(descriptor)
        try:
            self._poll.modify(descriptor, mask)
        except FileNotFoundError:
            self._poll.register(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        """Must come before it is closed: a copy of it in a forked child would keep it ready for ever."""
        if descriptor in self._known:
            try:
                self._poll.unregister(descriptor)
            except (OSError, KeyError):
                pass
            self._known.discard(descriptor)

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Descriptors that are ready, each with its event, after at most this long (None: any time)."""
        timeout = -1 if seconds is None else seconds * 1000 if self._milliseconds else seconds
        ready: list[tuple[int, int]] = self._spin.look() if timeout else []
        if not ready:
            ready = self._poll.poll(timeout)
        for descriptor, _ in ready:
            if descriptor == self._bell_read:
                silence(descriptor)
        return ready

    def ring(self) -> None:
        """Make the present or the next `wait` return at once."""
        with self._closing:
            if not self._known:
                return
            try:
                os.write(self._bell_write, b"\1\0\0\0\0\0\0\0")
            except BlockingIOError:
                return  # it has been rung so often that it cannot ring louder

    def close_in_child(self) -> None:
        """`close` in a forked child, where a thread that does not exist any more may hold the lock for ever."""
        self._closing = threading.RLock()
        self.close()

    def close(self) -> None:
        """Give the descriptors back. Idempotent."""
        with self._closing:
            if not self._known:
                return
            self._known.clear()
        if hasattr(self._poll, "close"):
            self._poll.close()
        for descriptor in {self._bell_read, self._bell_write}:
            os.close(descriptor)


def silence(descriptor: int) -> None:
    """Empty a bell."""
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        return
