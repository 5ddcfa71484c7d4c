"""A launcher under test, the sockets of its workers, and all that it said."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._base.seams import Launcher, LaunchNews, WorkerEnded, WorkerRefused
from phalanx._launch import ContextLauncher, ForkLauncher
from phalanx._platform.forked import close_in_children, making_descriptors
from phalanx._platform.pages import LocalPages, SharedPages

PATIENCE = 30.0


def make_launcher(method: str, entry: Any, setup: WorkerSetup) -> Launcher:
    return ForkLauncher(entry, setup) if method == "fork" else ContextLauncher(entry, setup, method)


class Crew:
    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.news: list[LaunchNews] = []
        self.ends: dict[int, socket.socket] = {}

    def start(self, worker: int, name: str = "", ordinal: int = 0) -> socket.socket:
        with making_descriptors():
            ours, theirs = socket.socketpair()
            close_in_children(ours)
            close_in_children(theirs)
        ours.settimeout(PATIENCE)
        self.ends[worker] = ours
        self.launcher.start(WorkerIdentity(worker, worker, worker, name, ordinal), theirs)
        return ours

    def wait_for(self, worker: int, kind: type[LaunchNews]) -> Any:
        while True:
            for news in self.news:
                if news.worker == worker and isinstance(news, kind):
                    return news
            assert select.select([self.launcher.fileno()], [], [], PATIENCE)[0], self.news
            self.launcher.collect()
            self.news += self.launcher.news
            self.launcher.news.clear()

    def ended(self, worker: int) -> Any:
        return self.wait_for(worker, WorkerEnded)

    def read_to_the_end(self, worker: int) -> str:
        return b"".join(iter(lambda: self.ends[worker].recv(65536), b"")).decode()

    def close(self) -> None:
        for worker, end in self.ends.items():
            end.close()
            if not any(isinstance(news, WorkerRefused) and news.worker == worker for news in self.news):
                self.ended(worker)
        self.launcher.close()


@contextmanager
def crew(method: str, entry: Any, initargs: tuple[Any, ...] = ()) -> Iterator[Crew]:
    pages = LocalPages() if method == "fork" else SharedPages(16)
    found = Crew(make_launcher(method, entry, WorkerSetup(pages, initargs=initargs)))
    try:
        yield found
    finally:
        found.close()
        pages.close()
