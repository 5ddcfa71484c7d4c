"""The channel to a worker in this same process: objects in queues instead of bytes in a socket.

Nothing is pickled and nothing copied. Both directions are `queue.SimpleQueue`s, whose `put` is one C call that
an exception cannot cut in two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from phalanx._base.channel import Channel
from phalanx._transport.socket_channel import Outgoing
from phalanx._wire import frames


class MemoryEnd:
    """The worker's end."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.results: deque[Any] = deque()
        self.wake = wake

    def take(self) -> Any:
        """Wait for the next messages from the parent."""
        return self.inbox.get()

    def take_nowait(self) -> Any:
        """The next messages, or None."""
        try:
            return self.inbox.get_nowait()
        except Empty:
            return None

    def send(self, message: Any) -> None:
        """To the parent."""
        self.results.append(message)
        self.wake()


class MemoryChannel(Channel):
    """The parent's end."""

    def __init__(self, end: MemoryEnd) -> None:
        self._end = end
        self.outbox: deque[Outgoing] = deque()

    def fileno(self) -> int:
        return -1

    def put(self, entry: Outgoing) -> None:
        self.outbox.append(entry)

    def flush(self) -> bool:
        while self.outbox:
            entry = self.outbox[0]
            if not entry.written:
                entry.written.extend(map(self._put, (entry.data,)))
            self.outbox.popleft()
        return True

    @property
    def _put(self) -> Callable[[Any], Any]:
        return self._end.inbox.put

    def fill(self) -> bool | None:
        return None

    def frames(self) -> tuple[list[Any], int]:
        """What has come, and the token to `consume` it with."""
        messages = list(self._end.results)
        return messages, len(messages)

    def consume(self, token: int) -> None:
        for _ in range(token):
            self._end.results.popleft()

    def close(self) -> None:
        self.outbox.clear()
        # As the end of a socket: a worker that nobody knows any more must not wait for ever.
        self._put([(frames.STOP, None)])
