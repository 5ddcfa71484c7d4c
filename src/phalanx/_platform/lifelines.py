"""Lifelines: a worker ends together with its parent, and what it started ends together with it.

A lifeline is a pipe. The parent alone holds the end to write to; the worker's end is armed: the kernel sends
SIGKILL to the worker's process group when the pipe is *pulled* (something is written) or let go (the parent
is gone, however it went). That needs nobody's help: not the worker's, which may be stopped, or in C code that
never gives the interpreter back, and not that of a process which watches.

- The worker is the leader of a session, and so of a group, of its own; what it starts belongs to that group, unless
  it leaves it. Whoever is there to see the worker end looks for those that did (`sessions`).
- What is to be killed is noted in the open file, not in the process, and so every worker needs an open file of
  its own. It is noted by identity, not by number: there is no danger that it means another group one day, and
  it still means this one when the worker has died and been reaped and only what it started is left.
- It is armed first, then looked at once: so no end comes too early to be noticed.
- A worker that ends as it was told *unties* its lifeline: what it started stays. Every other end is one that the
  rest of the group shares.

Where a file cannot be armed in this way, a thread of the worker's waits for the end of the pipe: it has to wait
until C code gives the interpreter back.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import fcntl
import os
import select
import struct
from typing import Any

from phalanx._platform.forked import Descriptor, close_in_children, making_descriptors

_SIGKILL = int(_signal.SIGKILL)
# Of Linux, and not in `fcntl`. Unlike F_GETOWN, it can tell a group from an error.
_F_GETOWN_EX = 16
_OWNER = struct.Struct("ii")  # its kind, and its number
_F_SETSIG: int | None = getattr(fcntl, "F_SETSIG", None)


class Lifeline:
    """The worker's end."""

    __slots__ = ("_end", "_file", "_is_shared", "_is_tied")

    def __init__(self, end: int, is_shared: bool = False) -> None:
        """`is_shared`: other workers have the same open file, so this one must open the pipe once more."""
        self._end = end
        self._is_shared = is_shared
        self._is_tied = False
        self._file: Descriptor | None = None

    def tie(self) -> None:
        """From now on this process, the leader of a new session, ends with the lifeline."""
        os.setsid()
        self._is_tied = True
        self._file = self._file_of_its_own()
        if self._file is None or not _arm(self._file.number, -os.getpid()):
            self._watch()
            return
        close_in_children(self._file)
        poll = select.poll()
        poll.register(self._file.number, select.POLLIN)
        if poll.poll(0):
            self._break()

    def untie(self) -> None:
        """This process ends as it was told to: what it started shall not share its end."""
        self._is_tied = False
        if self._file is not None:
            fcntl.fcntl(self._file.number, fcntl.F_SETOWN, 0)

    def _file_of_its_own(self) -> Descriptor | None:
        if not self._is_shared:
            return Descriptor(self._end)
        try:
            return Descriptor(os.open(f"/proc/self/fd/{self._end}", os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            return None  # no /proc here

    def _watch(self) -> None:
        import threading  # only where it is needed: it makes every later fork one of a threaded process

        threading.Thread(target=self._wait, name="phalanx-lifeline", daemon=True).start()

    def _wait(self) -> None:
        os.set_blocking(self._end, True)
        os.read(self._end, 1)
        if self._is_tied:
            self._break()

    def _break(self) -> None:
        os.killpg(os.getpid(), _SIGKILL)


class Cord:
    """The parent's side of a lifeline that only one worker has; in that worker it arrives as a `Lifeline`.

    The parent keeps a copy of the armed end. Of what a process holds when it ends, Linux gives back the highest
    number first, which is the end to write to: so what a worker left behind is killed even if that worker is
    dead and the parent has not noticed yet.
    """

    __slots__ = ("__weakref__", "_is_armed", "_read", "_write")

    def __init__(self) -> None:
        with making_descriptors():
            self._read, self._write = map(Descriptor, os.pipe())
            close_in_children(self._read)
            close_in_children(self._write)
        self._is_armed = _arm(self._read.number, 0)

    def tie_to(self, pid: int) -> bool:
        """Tie the worker from outside, for the time until it does so itself: it may load a lot before that.

        False if there was no need. It may do so just now: so its group is looked for afterwards.
        """
        if not self._is_armed:
            return False
        _, owner = _OWNER.unpack(fcntl.fcntl(self._read.number, _F_GETOWN_EX, bytes(_OWNER.size)))
        if owner:
            return False
        try:
            fcntl.fcntl(self._read.number, fcntl.F_SETOWN, pid)
            if os.getpgid(pid) == pid:
                fcntl.fcntl(self._read.number, fcntl.F_SETOWN, -pid)
        except ProcessLookupError:
            return False  # it has ended
        return True

    def untie(self) -> None:
        """The number that it was tied to may have been another's."""
        fcntl.fcntl(self._read.number, fcntl.F_SETOWN, 0)

    def pull(self) -> None:
        """Kill the worker and its group, or what is left of it; nobody if it ended as it was told to, or if this
        is closed, which has done the same."""
        if self._write.number >= 0:
            os.write(self._write.number, b"\0")

    def close(self) -> None:
        """Let go: what is still tied to it is killed. Idempotent."""
        self._write.close()
        self._read.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing import (  # slow to load, and loaded already where this is needed
            context,
            reduction,
        )

        context.assert_spawning(self)
        return _attach, (reduction.DupFd(self._read.number),)


def _attach(handle: Any) -> Lifeline:
    end = handle.detach()
    os.set_inheritable(end, False)
    return Lifeline(end)


def _arm(end: int, whom: int) -> bool:
    """Have this process (or group: minus its number) killed with the file; False where that cannot be had."""
    if _F_SETSIG is None:
        return False
    try:
        fcntl.fcntl(end, _F_SETSIG, _SIGKILL)
        fcntl.fcntl(end, fcntl.F_SETOWN, whom)
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    except OSError:
        return False  # one of the kernels that only resemble Linux
    return True
