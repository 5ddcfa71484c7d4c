"""What the driver does without the lock, because it may run user code or take its time.

A chore stays first in the engine's queue until it is done; if an exception strikes in the middle, the next
driver does it again. Reconciliation throws chores away and lets the policy decide anew, so a chore looks
under the lock whether it is still wanted before its effect becomes a fact.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from phalanx._base.identity import WorkerIdentity
from phalanx._engine.jobs import Job
from phalanx._engine.losses import StartError
from phalanx._engine.workers import Worker
from phalanx._policy import Batch, WorkerExited, WorkerStartFailed
from phalanx._transport import Outgoing
from phalanx._wire import frames

if TYPE_CHECKING:
    from phalanx._engine.engine import Engine


class Chore(ABC):
    """Something to do without the lock."""

    @abstractmethod
    def do(self, engine: Engine) -> None:
        """Do it, once."""

    def sends_to(self, worker: Worker) -> bool:
        """Whether it sends a batch to this worker."""
        return False


class SendItems(Chore):
    """Pack the items of a batch and send them."""

    def __init__(self, worker: Worker, job: Job, batch: Batch) -> None:
        self._worker = worker
        self._job = job
        self._batch = batch

    def sends_to(self, worker: Worker) -> bool:
        return worker is self._worker

    def do(self, engine: Engine) -> None:
        out = engine.performer.pack(self._worker, self._job, self._batch)
        with engine.lock:
            engine.enter()
            if engine.chores and engine.chores[0] is self:
                # Before it is sent: from here to `leave`, what strikes has everything decided anew.
                engine.chores.popleft()
                if engine.workers.get(self._worker.identity.worker) is self._worker:
                    engine.performer.send_packed(self._worker, out)
            engine.leave()


class Define(Chore):
    """Tell a worker what a name of `__main__` stands for: it waits for that."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def do(self, engine: Engine) -> None:
        worker, name = self._worker, self._worker.wants
        if name is None:
            return
        answer = frames.pack_definition(engine.packer.define(name))
        with engine.lock:
            engine.enter()
            if worker.wants is not None and engine.workers.get(worker.identity.worker) is worker:
                # In this order: struck in between, it is told twice, which does no harm.
                worker.channel.put(Outgoing(answer))
                worker.wants = None
                engine.performer.flush(worker)
            engine.leave()


class StartProcess(Chore):
    """Make a channel and a page, and ask the launcher for a worker."""

    def __init__(self, number: int, slot: int) -> None:
        self._number = number
        self._slot = slot
        self._begun = False

    def do(self, engine: Engine) -> None:
        if self._begun:
            engine.doubt()
            return
        self._begun = True
        try:
            environment = engine.environment_of(self._slot)
        except Exception as error:  # the user's function
            error.add_note(f"phalanx: raised by worker_env for slot {self._slot}")
            self._fail(engine, error)
            return
        try:
            channel, worker_end = engine.launcher.open_channel()
        except OSError as error:
            self._fail(engine, error)
            return
        with engine.lock:
            engine.enter()
            page = engine.page_number()
            identity = WorkerIdentity(self._number, self._slot, page, environment=environment)
            worker = Worker(identity, channel, engine.launcher.setup.pages.page(identity.page))
            # Reconciliation may have thrown this chore away meanwhile, or the policy changed its mind.
            wanted = bool(engine.chores) and engine.chores[0] is self and self._number not in engine.doomed
            engine.employ(worker)
            if not wanted:
                engine.dismiss(self._number, worker)
                engine.handle(WorkerExited(self._number, None))
                engine.finished.append(engine.ended)  # has whoever waits for the end look again
            engine.leave()
        if not wanted:
            if not engine.in_process:
                worker_end.close()
            return
        try:
            engine.launcher.start(identity, worker_end)
        except Exception as error:
            self._fail(engine, error)
            with engine.lock:
                engine.enter()
                engine.dismiss(self._number, worker)
                engine.leave()
            return
        worker.requested = True
        if self._number in engine.doomed:
            engine.launcher.kill(self._number, signal.SIGKILL)

    def _fail(self, engine: Engine, error: Exception) -> None:
        engine.start_error = StartError(lambda: error)
        engine.tell(WorkerStartFailed(self._number))
