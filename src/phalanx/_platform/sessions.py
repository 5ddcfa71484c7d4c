"""Sessions: what a worker has started belongs to the worker's session, whatever process group it has gone to.

Job control moves processes between groups (a shell with `set -m` does, and `timeout` of the coreutils); out of a
session there is only `setsid`, which is how a program says that it wants to stay.

The kernel kills groups (`lifelines`), but knows no way to kill a session: somebody has to look for its members, in
/proc, and where there is none they are not found. The number of a session cannot come to mean another one while a
member lives. Once there is none it can, and then its leader is somebody else.

*The guard* looks for them when the one who should is killed: run as a program (``python sessions.py END``), this file
hears from its parent of the sessions that there are, and kills them when the parent is gone. So it imports nothing
of ours, and may be started without the site packages.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Collection

_PROCESSES = "/proc"
_HAVE_PIDFD = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


def kill_sessions(leaders: Collection[int]) -> None:
    """Kill these sessions' members, leaders included, until no new one turns up.

    The caller must know that the numbers mean no other sessions: the leaders have not been reaped, or see
    `kill_session_of_dead`.
    """
    seen: set[int] = set()
    while found := _members(leaders) - seen:
        for pid in found:
            _kill_member(pid, leaders)
        # Whoever was killed starts nobody any more, but may have done so while the others were looked for.
        seen |= found


def kill_session_of_dead(leader: int) -> None:
    """Kill what is left of a session whose leader is dead, perhaps reaped."""
    if not _is_alive(leader):  # else it is somebody else's by now, and nobody is left of ours
        kill_sessions((leader,))


def _members(leaders: Collection[int]) -> set[int]:
    try:
        names = os.listdir(_PROCESSES)  # noqa: PTH208  # no time for paths: there may be thousands
    except OSError:
        return set()
    return {int(name) for name in names if name.isdigit() and _session_of(int(name)) in leaders}


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1  # it has just gone


def _kill_member(pid: int, leaders: Collection[int]) -> None:
    try:
        if not _HAVE_PIDFD:
            os.kill(pid, signal.SIGKILL)
            return
        pidfd = os.pidfd_open(pid)
        try:
            # Only now it is certain that the number will mean the same process.
            if _session_of(pid) in leaders:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
    except (ProcessLookupError, PermissionError):
        return  # it has gone, or has become another user's


def _is_alive(pid: int) -> bool:
    try:
        with open(f"{_PROCESSES}/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _guard(end: int) -> None:
    """Hear of sessions, a line each (``+123``, or ``-123`` for one that has ended), until the parent is gone.

    Then kill those that there are.
    """
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # whoever reads what the parent writes waits for the end
        os.dup2(nowhere, stream)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    parent = _watch_parent(poll)
    leaders: set[int] = set()
    rest = b""
    os.set_blocking(end, False)
    is_over = False
    while not is_over:
        ready = [number for number, _ in poll.poll()]
        # All that it has said before it went comes first.
        is_over = parent in ready
        while (said := _read(end)) is not None:
            if not said:
                is_over = True
                break
            *lines, rest = (rest + said).split(b"\n")
            for line in lines:
                (leaders.add if line.startswith(b"+") else leaders.discard)(int(line[1:]))
    kill_sessions({leader for leader in leaders if _session_of(leader) in (leader, -1)})


def _watch_parent(poll: select.poll) -> int | None:
    """The end of the pipe may be kept open by a process that the parent has forked behind Python's back."""
    if not _HAVE_PIDFD:
        return None
    parent = os.pidfd_open(os.getppid())
    poll.register(parent, select.POLLIN)
    return parent


def _read(end: int) -> bytes | None:
    """What is there now; None if nothing is, and nothing at all at the end."""
    try:
        return os.read(end, 1 << 16)
    except BlockingIOError:
        return None


if __name__ == "__main__":
    _guard(int(sys.argv[1]))
