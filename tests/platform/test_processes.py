"""A process is held on to by a descriptor where there is one."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys

import pytest

from phalanx._platform import processes


def test_pidfd_tells_of_a_death_and_signals_no_other_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pidfd = processes.open_pidfd(child.pid)
    if pidfd is None:
        child.kill()
        child.communicate()
        pytest.skip("no pidfd here")
    assert not select.select([pidfd], [], [], 0)[0]
    processes.send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    child.communicate()
    processes.send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert processes.open_pidfd(child.pid) is None
    statuses: list[int | None] = []
    processes.reap_into(statuses, child.pid)
    assert statuses == [None]
    processes.send_signal_to_child(child.pid, 0)


def test_a_kernel_that_cannot_signal_groups_kills_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.pidfd_send_signal

    def older(pidfd: int, signum: int, info: None = None, flags: int = 0) -> None:
        if flags:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(pidfd, signum)

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0)
    pidfd = processes.open_pidfd(child.pid)
    if pidfd is not None:
        monkeypatch.setattr(signal, "pidfd_send_signal", older)
        processes.kill_group(pidfd)
        os.close(pidfd)
    else:
        child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("looks_first", [True, False])
def test_reaping_takes_one_after_the_other(looks_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not looks_first:
        monkeypatch.delattr(os, "waitid")
    child = subprocess.Popen([sys.executable, "-c", "input(); raise SystemExit(5)"], stdin=subprocess.PIPE)
    assert processes.reap_one(lambda pid: True) is None
    assert child.stdin is not None
    pidfd = os.pidfd_open(child.pid)
    child.stdin.write(b"\n")
    child.stdin.close()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    assert processes.reap_one(lambda pid: True) == (child.pid, 5 << 8)
    child.returncode = 5  # nobody else may ask for it
