"""A worker as a `multiprocessing` process: what `current_process()` and its relatives say inside one."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing import context, process, util
from typing import TYPE_CHECKING, Any, NoReturn

from phalanx._base.identity import WorkerIdentity
from phalanx._base.page import ORDERLY
from phalanx._launch import mains
from phalanx._platform.forked import run_exit_handlers
from phalanx._platform.lifelines import Lifeline
from phalanx._platform.processes import offer_to_oom_killer, raised_oom_score
from phalanx._platform.signals import ignore_interrupts

if TYPE_CHECKING:
    import socket

    from phalanx._base.identity import WorkerSetup

Entry = Callable[["WorkerSetup", "WorkerIdentity", Any], object]


class _Worker:
    """What our processes add to the standard library's: their end, by themselves or with their parent."""

    _lifeline: Any
    _oom_score: bytes | None = None
    _stdin: Any = None
    _was_stopped = False
    main: dict[str, str] | None = None
    """How a new process comes to the main program; None for one that has it, being forked."""
    environment: dict[str, str] | None = None
    """What a new process has for its environment."""
    arrival: Callable[[], object] | None = None
    """What a new process does before it runs anything of the user's."""
    _target: Entry
    _args: tuple[Any, ...]

    def __reduce__(self) -> Any:
        return _arrive, (self.main or {}, self.environment, self.arrival, type(self)), vars(self)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        ignore_interrupts()
        self._lifeline.tie()
        offer_to_oom_killer(raised_oom_score() if self._oom_score is None else self._oom_score)
        try:
            return int(super()._bootstrap(parent_sentinel))  # type: ignore[misc]
        finally:
            # The standard library leaves these out, depending on version and start method.
            run_exit_handlers()
            util._flush_std_streams()  # type: ignore[attr-defined]
            # Last of all: whoever is killed while its handlers run takes what it started with it.
            if self._was_stopped:
                setup, identity, _ = self._args
                setup.pages.page(identity.page)[ORDERLY] = 1
                self._lifeline.untie()

    def run(self) -> None:
        sys.stdin = self._stdin or sys.stdin
        # Every other end is one that what it started shares: nobody can know that it was meant to stay.
        self._was_stopped = self._target(*self._args) is True


def _arrive(
    main: dict[str, str],
    environment: dict[str, str] | None,
    arrival: Callable[[], object] | None,
    kind: type[_Worker],
) -> _Worker:
    """In a new process, before anything is rebuilt that may need the main program."""
    for name in os.environ.keys() - environment.keys() if environment else ():
        del os.environ[name]
    os.environ.update(environment or {})
    if arrival is not None:
        arrival()
    mains.run_again(main)
    return kind.__new__(kind)


# The class names are part of what users see: in repr(), and in the names of processes.


class ForkProcess(_Worker, context.ForkProcess):
    """A worker forked by the nursery."""


class SpawnProcess(_Worker, context.SpawnProcess):
    """A worker started as a new interpreter."""


class ForkServerProcess(_Worker, context.ForkServerProcess):
    """A worker forked by the standard library's fork server."""


def is_worker(process: Any) -> bool:
    """Whether this is a worker of one of our pools."""
    return isinstance(process, _Worker)


def count_worker(identity: WorkerIdentity, class_name: str, ordinal: int | None = None) -> WorkerIdentity:
    """The identity with name and number, counted as the standard library counts this process's children."""
    number = identity.ordinal or ordinal or next(process._process_counter)  # type: ignore[attr-defined]
    name = identity.name or worker_name(class_name, number)
    return WorkerIdentity(identity.worker, identity.slot, identity.page, name, number, identity.environment)


def worker_name(class_name: str, ordinal: int) -> str:
    """Such as ``ForkPoolWorker-3``, or ``ForkPoolWorker-1:3`` for a child of child 1."""
    numbers = (*process.current_process()._identity, ordinal)
    return f"{class_name.replace('Process', 'PoolWorker')}-{':'.join(map(str, numbers))}"


def prepare_forked_worker(entry: Entry, user_pid: int, lifeline: int) -> Any:
    """In the nursery, ahead of time: what is the same for all workers.

    The nursery is a copy of the user's process that has run nothing of `multiprocessing`, so here
    `current_process()` still is the user's; only the process id has to be put right.
    """
    atexit.register(util._exit_function)  # type: ignore[attr-defined]
    _spare_resource_trackers()
    worker: Any = ForkProcess(target=entry, daemon=True)
    worker._parent_pid = user_pid
    worker._lifeline = Lifeline(lifeline, is_shared=True)
    worker._oom_score = raised_oom_score()
    # What each worker would do for itself; with none to be closed, that is left out.
    util._close_stdin()  # type: ignore[attr-defined]
    worker._stdin, sys.stdin = sys.stdin, None
    return worker


def _spare_resource_trackers() -> None:
    """What cleans up after a worker that was killed must not be killed with it.

    A forked worker starts a resource tracker when it makes the first `SharedMemory` or the like, if the user's
    process had none. Under the other start methods it has that of the user's process.
    """
    spawn = util.spawnv_passfds

    def spawn_spared(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        if not any("multiprocessing.resource_tracker" in str(each) for each in args):
            return spawn(path, args, passfds)
        for number in passfds:
            os.set_inheritable(number, True)
        try:
            return os.posix_spawn(path, list(args), os.environ, setsid=True)
        finally:
            for number in passfds:
                os.set_inheritable(number, False)

    util.spawnv_passfds = spawn_spared


def run_forked_worker(
    worker: Any, setup: WorkerSetup, identity: WorkerIdentity, worker_end: socket.socket, lifeline: int
) -> NoReturn:
    """The life of a worker that was just forked by the nursery. Leaves by `os._exit`, whatever happens."""
    code = 1
    try:
        worker.name = identity.name
        worker._identity = (*worker._identity[:-1], identity.ordinal)
        worker._args = (setup, identity, worker_end)
        code = worker._bootstrap(parent_sentinel=lifeline)
    finally:
        os._exit(code & 0xFF)
