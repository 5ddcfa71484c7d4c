"""The guard: a small process that clears up after our workers when this process is killed (see `sessions`).

Under `fork` the nursery does that; under the other start methods nobody of ours would be left. One guard serves all
pools of a process. It is started with the first worker that it is for, costs nothing while nothing happens, and ends
with this process. If somebody has killed it, the next worker brings a new one.

Programs that were frozen have no interpreter to run it with, and go without.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from phalanx._platform import processes, sessions
from phalanx._platform.forked import Descriptor, close_in_children, making_descriptors
from phalanx._platform.signals import blocked


class Guard:
    """This process's side of it."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.end: Descriptor | None = None
        """To write to: the guard knows by it that we live."""
        self._pidfd: Descriptor | None = None
        self._owner = os.getpid()
        self._leaders: set[int] = set()
        # Reentrant, because a finalizer or a signal handler may start or end a worker while its own thread is here.
        self._lock = threading.RLock()

    def watch(self, leader: int) -> None:
        """There is a worker, the leader of a session."""
        with self._lock:
            if self._owner != os.getpid():  # of the process that this one was forked from
                self.__init__()  # type: ignore[misc]
            self._leaders.add(leader)
            if not self._say(b"+%d\n" % leader):
                self._start()

    def forget(self, leader: int) -> None:
        """It has ended, and nothing is left to do for it."""
        with self._lock:
            self._leaders.discard(leader)
            self._say(b"-%d\n" % leader)

    def _say(self, line: bytes) -> bool:
        if self.end is None or self._owner != os.getpid():
            return False
        try:
            os.write(self.end.number, line)
        except OSError:  # it was killed; or stopped, for so long that the pipe is full
            return False
        return True

    def _start(self) -> None:
        from multiprocessing import spawn, util  # loaded already where this is needed

        self._bury()
        program, python = sessions.__file__, os.fsencode(spawn.get_executable() or b"")
        if getattr(sys, "frozen", False) or not python or not Path(program).is_file():
            return
        with making_descriptors():
            read, write = map(Descriptor, os.pipe())
            close_in_children(read)
            close_in_children(write)
        os.set_blocking(write.number, False)
        arguments = [python, b"-I", b"-S", os.fsencode(program), b"%d" % read.number]
        with blocked():  # until it ignores interrupts
            self.pid = util.spawnv_passfds(python, arguments, [read.number])
        pidfd = processes.open_pidfd(self.pid)
        if pidfd is not None:
            self._pidfd = Descriptor(pidfd)
            close_in_children(self._pidfd)
        read.close()
        self.end = write
        self._say(b"".join(b"+%d\n" % leader for leader in self._leaders))

    def _bury(self) -> None:
        # Killed first: one that lives (it was stopped, say) would take the end of its pipe for our own.
        if self._pidfd is not None:
            processes.send_signal(self._pidfd.number, signal.SIGKILL)
            self._pidfd.close()
        elif self.pid is not None:
            processes.send_signal_to_child(self.pid, signal.SIGKILL)
        if self.end is not None:
            self.end.close()
        if self.pid is not None:
            processes.reap_into([], self.pid)
        self.pid = self.end = self._pidfd = None


guard = Guard()
