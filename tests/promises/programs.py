"""Programs in interpreters of their own, and all the processes that came of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0
HEAD = """
import os, re, select, signal, subprocess, sys, tempfile, threading, time
from phalanx import Executor, Pool

def ready(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

"""
GUARD = "\nif __name__ == '__main__':\n"


class Program:
    """A running program: definitions, and a guarded main part; `METHOD` is the start method."""

    def __init__(self, folder: Path, definitions: str, main: str, method: str) -> None:
        self.folder = folder / "temporary"
        self.folder.mkdir(exist_ok=True)
        self._mark = f"PHALANX_TEST_MARK={os.getpid()}-{folder}".encode()
        path = folder / "program.py"
        main = textwrap.indent(textwrap.dedent(main), "    ")
        path.write_text(f"{HEAD}METHOD = {method!r}\n{textwrap.dedent(definitions)}{GUARD}{main}")
        name, mark = self._mark.decode().split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A group of its own, as a shell would give it.
            process_group=0,
            env={**os.environ, name: mark, "TMPDIR": str(self.folder)},
        )
        self.pid = self.process.pid
        self._heard = b""

    def line(self) -> list[str]:
        """The words of the next line that any of its processes has written."""
        stdout = self.process.stdout
        assert stdout is not None
        while b"\n" not in self._heard:
            if not select.select([stdout], [], [], PATIENCE)[0]:
                raise AssertionError(f"nothing more was said after {self._heard!r}")
            data = os.read(stdout.fileno(), 4096)
            assert data, self.process.communicate()
            self._heard += data
        line, self._heard = self._heard.split(b"\n", 1)
        return line.decode().split()

    def living(self) -> list[int]:
        """Processes that came of it and live; a zombie does not."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")  # a zombie has no environment
        except OSError:
            return False

    def is_all_gone(self, seconds: float = 2.0) -> bool:
        """Whether that comes true in time."""
        until = time.monotonic() + seconds
        while living := self.living():
            if time.monotonic() > until:
                print("left:", [describe(pid) for pid in living])
                return False
            time.sleep(0.005)
        return True

    def kill(self) -> None:
        """As the kernel does when memory is out: nobody is asked."""
        os.kill(self.pid, signal.SIGKILL)

    def rest(self) -> str:
        """After `end`: what was said and not read."""
        return self._heard.decode()

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit code and what stands on stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        self._heard += out
        return self.process.returncode, err.decode()


def describe(pid: int) -> str:
    """As `ps` does."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return f"{pid} {file.read().decode(errors='replace')}"
    except OSError:
        return f"{pid}"


@contextmanager
def program(folder: Path, definitions: str, main: str, method: str) -> Iterator[Program]:
    """Run it; in the end it is killed, with all that came of it, if it should still be there."""
    found = Program(folder, definitions, main, method)
    try:
        yield found
    finally:
        for pid in found.living():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        found.process.communicate()


def said_by(*command: str, stdin: str | None = None, folder: Path | None = None) -> str:
    """What a program printed that an interpreter was started for with these arguments; it has to succeed."""
    done = subprocess.run(
        [sys.executable, *command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
