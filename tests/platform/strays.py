"""A session of processes, one of which has gone to a group of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

# Starts a process in another group, says its number, and waits.
LEADER = """
import os, subprocess, sys
os.setsid()
print(subprocess.Popen(["sleep", "600"], process_group=0, stdout=subprocess.DEVNULL).pid, flush=True)
sys.stdin.read()
"""


class Session:
    """A leader, and somebody in another group of its session."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.leader = subprocess.Popen([sys.executable, "-c", LEADER], stdin=pipe, stdout=pipe, text=True)
        assert self.leader.stdout is not None
        self.stray = int(self.leader.stdout.readline())
        self.pidfd = os.pidfd_open(self.stray)

    def is_stray_alive(self, seconds: float = 0.0) -> bool:
        return not select.select([self.pidfd], [], [], seconds)[0]

    def end(self) -> None:
        """Idempotent."""
        self.leader.kill()
        self.leader.communicate()
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(self.pidfd)
            self.pidfd = -1
