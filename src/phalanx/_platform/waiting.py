"""Many descriptors behind one, so that whoever waits needs to know only the one."""

from __future__ import annotations

import os
import select
import sys

if sys.platform == "linux":

    class _Poll:
        """Linux."""

        def __init__(self) -> None:
            self._poll = select.epoll()
            self.fileno = self._poll.fileno
            self.close = self._poll.close

        def add(self, descriptor: int, writable: bool, known: bool) -> None:
            events = select.EPOLLIN | select.EPOLLOUT if writable else select.EPOLLIN
            if known:
                self._poll.modify(descriptor, events)
            else:
                self._poll.register(descriptor, events)

        def unset(self, descriptor: int) -> None:
            try:
                self._poll.unregister(descriptor)
            except OSError:  # closed already, which unregisters it
                pass

        def ready(self) -> set[int]:
            return {descriptor for descriptor, _ in self._poll.poll(0)}

else:

    class _Poll:
        """The BSDs and macOS."""

        def __init__(self) -> None:
            self._queue = select.kqueue()
            self.fileno = self._queue.fileno
            self.close = self._queue.close

        def _change(self, descriptor: int, kind: int, action: int) -> None:
            try:
                self._queue.control([select.kevent(descriptor, kind, action)], 0, 0)
            except OSError:  # was not there
                if action != select.KQ_EV_DELETE:
                    raise

        def add(self, descriptor: int, writable: bool, known: bool) -> None:
            self._change(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)
            if known or writable:
                self._change(
                    descriptor, select.KQ_FILTER_WRITE, select.KQ_EV_ADD if writable else select.KQ_EV_DELETE
                )

        def unset(self, descriptor: int) -> None:
            self._change(descriptor, select.KQ_FILTER_READ, select.KQ_EV_DELETE)
            self._change(descriptor, select.KQ_FILTER_WRITE, select.KQ_EV_DELETE)

        def ready(self) -> set[int]:
            return {event.ident for event in self._queue.control(None, 64, 0)}


_RING = (1).to_bytes(8, sys.byteorder)


class Gathering:
    """One descriptor, `fileno()`, that is readable whenever any of the watched is ready, or after `ring`."""

    def __init__(self) -> None:
        self._poll = _Poll()
        self._watched: dict[int, bool] = {}
        self._bell_read = self._bell_write = -1
        try:
            self._bell_read, self._bell_write = make_bell()
            self._poll.add(self._bell_read, False, False)
        except BaseException:
            # Not by `close`: if it was the recursion limit that struck, there is no room for that.
            for descriptor in {self._bell_read, self._bell_write} - {-1}:
                os.close(descriptor)
            self._poll.close()
            raise

    def fileno(self) -> int:
        """The one to wait on."""
        return self._poll.fileno()

    def watch(self, descriptor: int, writable: bool = False) -> None:
        """Be ready when this one can be read, or (if `writable`) written too. May be asked again."""
        if self._watched.get(descriptor) is not writable:
            self._poll.add(descriptor, writable, descriptor in self._watched)
            self._watched[descriptor] = writable

    def forget(self, descriptor: int) -> None:
        """Must come before it is closed: a copy of it in a forked child would keep it ready for ever."""
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unset(descriptor)

    def ring(self) -> None:
        """Be ready, once, though no descriptor is."""
        try:
            os.write(self._bell_write, _RING)
        except BlockingIOError:  # rung so often that it cannot ring louder
            pass

    def ready(self) -> set[int]:
        """Which descriptors are ready now; never waits."""
        ready = self._poll.ready()
        if self._bell_read in ready:
            os.read(self._bell_read, 4096)
            ready.discard(self._bell_read)
        return ready

    def close(self) -> None:
        """Give the descriptors back."""
        self._watched.clear()
        self._poll.close()
        for descriptor in {self._bell_read, self._bell_write} - {-1}:
            self._bell_read = self._bell_write = -1
            os.close(descriptor)


def make_bell() -> tuple[int, int]:
    """Two ends (they may be the same) of something to be written to and read from, neither of which waits."""
    if hasattr(os, "eventfd"):
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        return descriptor, descriptor
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write
