"""Every launcher of processes passes the public suite."""

from __future__ import annotations

import errno
import os
import resource
from typing import Any

import pytest

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import Launcher
from phalanx._launch import ContextLauncher, ForkLauncher
from phalanx._launch.process import Entry
from phalanx.testing.launchers import check_launcher


def make(start_method: str, entry: Entry, setup: WorkerSetup) -> Launcher:
    return (
        ForkLauncher(entry, setup) if start_method == "fork" else ContextLauncher(entry, setup, start_method)
    )


class NoDescriptorsLeft(ContextLauncher):
    """Starts while the system has no more descriptors to give."""

    def start(self, identity: WorkerIdentity, worker_end: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            super().start(identity, worker_end)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_launcher_keeps_all_promises(start_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, user = os.fork, os.getpid()

    def fork_for_users_only() -> int:
        if os.getpid() != user:
            raise OSError(errno.EAGAIN, "no more processes")
        return real()

    def make_refused(entry: Entry, setup: WorkerSetup) -> Launcher:
        if start_method == "fork":
            monkeypatch.setattr(os, "fork", fork_for_users_only)
            return ForkLauncher(entry, setup)
        return NoDescriptorsLeft(entry, setup, start_method)

    check_launcher(lambda entry, setup: make(start_method, entry, setup), make_refused)
