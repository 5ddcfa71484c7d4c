"""Holding on to a process: by a descriptor that can mean no other process, where the system has that."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from itertools import starmap
from operator import itemgetter

from phalanx._platform.sessions import kill_sessions

_HAVE_PIDFD = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")
# PIDFD_SIGNAL_PROCESS_GROUP, known to Linux since 6.9 and not to `signal`.
_WHOLE_GROUP = 4
_OOM_SCORE = "/proc/self/oom_score_adj"
# What Chrome adds for its renderers: as if the process had so many thousandths of all memory more.
_OOM_ADDITION = 300


def open_pidfd(pid: int) -> int | None:
    """A descriptor that is readable once the process is dead, or None where there is none to be had.

    The caller must know that the process has not been reaped yet, or it may get another process.
    """
    if not _HAVE_PIDFD:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def send_signal(pidfd: int, signum: int) -> None:
    """Send a signal to exactly that process; silent if it is gone."""
    try:
        signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:
        pass


def send_signal_to_child(pid: int, signum: int) -> None:
    """Send a signal to a child that has not been reaped; silent if it is a zombie or not ours any more."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        pass


def kill_group(pidfd: int) -> None:
    """Kill exactly that process and its process group, if it leads one; silent if there is nobody left.

    Older kernels kill the process only: whoever reaps it sees to the rest.
    """
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _WHOLE_GROUP)
    except ProcessLookupError:
        pass
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # It may not have become the leader of a group yet.
    send_signal(pidfd, signal.SIGKILL)


def kill_group_of_child(pid: int) -> None:
    """Kill a child and the group that it leads. The child must not have been reaped."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    send_signal_to_child(pid, signal.SIGKILL)


def reap_one(takes_along: Callable[[int], bool]) -> tuple[int, int] | None:
    """Reap a child that has ended: its process id and raw status, or None if all live.

    If it `takes_along` what it has started, that is killed, with its group and its session: before it is reaped,
    while its number can mean no other ones.
    """
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        pid, status = os.waitpid(-1, os.WNOHANG)
        return (pid, status) if pid else None
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    pid = ended.si_pid
    if takes_along(pid):
        kill_group_of_child(pid)
        kill_sessions((pid,))
    return os.waitpid(pid, 0)


def raised_oom_score() -> bytes:
    """What `offer_to_oom_killer` needs: more than this process has, or nothing where there is no such thing."""
    try:
        with open(_OOM_SCORE, "rb", 0) as file:
            return b"%d" % min(int(file.read()) + _OOM_ADDITION, 1000)
    except OSError:
        return b""


def offer_to_oom_killer(score: bytes) -> None:
    """If memory runs out, this process shall be killed before the one that started it."""
    if not score:
        return
    try:
        file = os.open(_OOM_SCORE, os.O_WRONLY)
    except OSError:
        return  # a sandbox with a /proc to be read only: then the kernel chooses by size alone
    try:
        os.write(file, score)
    except PermissionError:
        return  # the same
    finally:
        os.close(file)


def reap_into(statuses: list[int | None], pid: int) -> None:
    """Wait for a child and append its raw status, or None when somebody else reaped it.

    Stored by the same C call, so that it is never taken for unreaped, and its number for that of a child.
    """
    try:
        statuses.extend(map(itemgetter(1), starmap(os.waitpid, ((pid, 0),))))
    except ChildProcessError:
        statuses.append(None)
