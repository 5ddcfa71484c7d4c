"""Performing what the policy decides. Runs under the engine's lock, and therefore runs no user code."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from phalanx._engine.arrivals import LOCAL, Segment
from phalanx._engine.chores import SendItems, StartProcess
from phalanx._engine.jobs import Job
from phalanx._engine.losses import Deaths, MakeError, cancelled, start_failure
from phalanx._engine.stopped import oversized_item, timed_out_item
from phalanx._engine.workers import Worker
from phalanx._platform import memory
from phalanx._platform.asking import StackRequest, ask_for_stack
from phalanx._policy import (
    Allow,
    Batch,
    DropItems,
    DumpStack,
    FailJob,
    FinishJob,
    KillWorker,
    LimitItem,
    Look,
    LoseItem,
    SendBatch,
    SettleItem,
    StartWorker,
    StopWorker,
    TakeBack,
    TimeOutItem,
    TookBack,
    WarnOfMemory,
    WorkerSeen,
)
from phalanx._transport import Outgoing

if TYPE_CHECKING:
    from phalanx._engine.engine import Engine


class Performer:
    """Performs commands for one engine; `table` says how, by the command's type."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.deaths = Deaths(engine.in_process)
        self.table: dict[type, Callable[[Any], None]] = {
            SendBatch: self._send_batch,
            StartWorker: self._start_worker,
            StopWorker: self._stop_worker,
            KillWorker: self._kill_worker,
            TakeBack: self._take_back,
            Look: self._look,
            DumpStack: self._dump_stack,
            WarnOfMemory: self._warn_of_memory,
            LoseItem: self._lose_item,
            TimeOutItem: self._time_out_item,
            LimitItem: self._limit_item,
            SettleItem: self._settle_item,
            DropItems: self._drop_items,
            FailJob: self._fail_job,
            FinishJob: self._finish_job,
            Allow: self._allow,
        }

    def _send_batch(self, command: SendBatch) -> None:
        worker = self._engine.workers.get(command.worker)
        if worker is None:
            return
        if worker.limit is not None:
            worker.raise_limit()
        self._engine.next_batch = max(self._engine.next_batch, command.batch.id + 1)
        job = self._engine.jobs[command.batch.job]
        if job.spec.timeout is not None:
            worker.time_items()
        # None overtakes another: what a worker claims and is left are numbers that grow, and say nothing otherwise.
        chores = self._engine.chores
        waits = chores and any(chore.sends_to(worker) for chore in list(chores))
        if job.packs_quietly and not waits:
            self.send_packed(worker, self.pack(worker, job, command.batch))
        else:
            chores.append(SendItems(worker, job, command.batch))

    def pack(self, worker: Worker, job: Job, batch: Batch) -> Outgoing:
        """The batch as what the worker's channel carries, with the functions that it does not know yet."""
        message, functions = job.message(self._engine.packer, batch)
        unknown: list[int] = []
        new: list[tuple[int, Any]] = []
        if not functions <= worker.known:
            # A function is missing if its job has ended in this very moment: then its items will not run.
            payloads = self._engine.payloads
            unknown = [n for n in functions - worker.known if n in payloads]
            new = [(n, payloads[n]) for n in unknown]
        stale, worker.stale = worker.stale, []
        lending = self._engine.packer.lending
        load = None if lending is None or not lending.in_use else lending.put_in(message, new)
        return Outgoing(self._engine.packer.messages(new, message, stale), batch, unknown, holds=load)

    def send_packed(self, worker: Worker, out: Outgoing) -> None:
        """Under the lock. In this order: from the `put` on, the worker holds the batch."""
        lending = self._engine.packer.lending
        if lending is not None:
            self._engine.tally.bytes_in += len(out.data)
        if lending is not None and lending.in_use:
            self._put_notes(worker)
            for entry in lending.announce(worker, out.holds, self._engine.tally) if out.holds else ():
                worker.channel.put(entry)
        worker.channel.put(out)
        worker.hold(out.batch)
        if out.functions:
            worker.known.update(out.functions)
        self.flush(worker)

    def _put_notes(self, worker: Worker) -> bool:
        """What there is to say of blocks."""
        lending = self._engine.packer.lending
        notes = b"" if lending is None else lending.notes(worker, self._engine.workers)
        if notes:
            worker.channel.put(Outgoing(notes))
        return bool(notes)

    def send_notes(self) -> None:
        """Tell workers that are idle what they would hear with their next batch."""
        for worker in list(self._engine.workers.values()):
            if worker.ready and not worker.held and not worker.stopping and self._put_notes(worker):
                self.flush(worker)

    def flush(self, worker: Worker) -> None:
        """Write what can be written; the rest waits for the channel to become writable."""
        done = worker.channel.flush()
        if done is worker.writing:
            worker.writing = not done
            descriptor = worker.channel.fileno()
            if descriptor in self._engine.by_descriptor:
                self._engine.poller.watch(descriptor, not done)

    def flush_again(self, worker: Worker) -> None:
        """Write what was left in the outbox, whatever was noted about waiting for the channel."""
        worker.writing = True
        if worker.channel.fileno() in self._engine.by_descriptor:
            self._engine.poller.watch(worker.channel.fileno(), True)
        self.flush(worker)

    def _start_worker(self, command: StartWorker) -> None:
        self.deaths.before_start()
        self._engine.next_worker = max(self._engine.next_worker, command.worker + 1)
        self._engine.chores.append(StartProcess(command.worker, command.slot))

    def _stop_worker(self, command: StopWorker) -> None:
        worker = self._engine.workers.get(command.worker)
        if worker is None:
            self._engine.doomed.add(command.worker)
        else:
            # In this order: struck in between, it is told twice.
            worker.channel.put(Outgoing(self._engine.packer.stop()))
            worker.stopping = True
            self.flush(worker)

    def _kill_worker(self, command: KillWorker) -> None:
        worker = self._engine.workers.get(command.worker)
        if worker is None or not worker.requested:
            self._engine.doomed.add(command.worker)
        elif self._engine.in_process:
            # A thread leaves after the item that it runs.
            worker.lower_limit(0)
            self._stop_worker(StopWorker(command.worker))
        self._engine.launcher.kill(command.worker, signal.SIGKILL)

    def _take_back(self, command: TakeBack) -> None:
        worker = self._engine.workers.get(command.worker)
        if worker is not None:
            self._engine.handle(TookBack(command.worker, worker.lower_limit(command.seq)))

    def _look(self, command: Look) -> None:
        engine = self._engine
        worker = engine.workers.get(command.worker)
        if worker is None:
            return
        # In this order: the start may be that of a later item, never of an earlier one.
        current, since = worker.current(), worker.since()
        rss = free = None
        if engine.config.limits_memory and worker.pid:
            rss, free = memory.weigh(worker.pid, engine.config.least_limit), memory.available()
        engine.handle(WorkerSeen(command.worker, current, since, rss, free))

    def _dump_stack(self, command: DumpStack) -> None:
        worker = self._engine.workers.get(command.worker)
        if worker is None:
            return
        if command.again and worker.asked is not None:
            worker.asked.is_whole()  # looking for an answer in vain is how it is asked with insistence
        else:
            worker.asked = self.ask_for_stack(worker)

    def ask_for_stack(self, worker: Worker) -> StackRequest:
        """Under the lock: ask the worker where it is; somebody looks at the answer later."""
        launcher, identity = self._engine.launcher, worker.identity
        kill = partial(launcher.kill, identity.worker)
        return ask_for_stack(launcher.setup.pages, identity.page, identity.worker, kill)

    def _warn_of_memory(self, command: WarnOfMemory) -> None:
        self._engine.low_memory = command.free

    def _time_out_item(self, command: TimeOutItem) -> None:
        job, worker = self._engine.jobs[command.job], self._engine.workers.get(command.worker)
        if worker is not None:
            limit = job.spec.timeout or 0.0
            dump = "" if worker.asked is None else worker.asked.text()
            make = timed_out_item(worker.pid, worker.identity.slot, limit, dump, job.describe)
            self._stop_item(job, command.index, worker, make, command.tries)

    def _limit_item(self, command: LimitItem) -> None:
        job, worker = self._engine.jobs[command.job], self._engine.workers.get(command.worker)
        if worker is not None:
            limit = self._engine.config.memory_limit or 0
            make = oversized_item(worker.pid, worker.identity.slot, limit, command.rss, job.describe)
            self._stop_item(job, command.index, worker, make, command.tries)

    def _stop_item(self, job: Job, index: int, worker: Worker, make: MakeError, tries: int) -> None:
        job.note_tries(index, tries)
        self._engine.tally.stopped += 1
        held = worker.holding(job.number, index)
        if held is not None:
            held.set_apart(index - held.batch.start)
        self._settle(job, index, index + 1, make, worker.pid)

    def _settle_item(self, command: SettleItem) -> None:
        job = self._engine.jobs[command.job]
        job.note_tries(command.index, command.tries)
        error = job.failed.pop(command.index, None)
        if error is not None:
            self.arrived(job, error)

    def _lose_item(self, command: LoseItem) -> None:
        job, worker = self._engine.jobs[command.job], self._engine.workers.get(command.worker)
        if worker is None:
            return
        job.note_tries(command.index, command.tries)
        self._engine.tally.lost += 1
        make = self.deaths.lost_item(worker, self._engine.launcher.setup.pages, job.describe)
        self._settle(job, command.index, command.index + 1, make, worker.pid)

    def _drop_items(self, command: DropItems) -> None:
        self._settle(self._engine.jobs[command.job], command.start, command.stop, cancelled)

    def _fail_job(self, command: FailJob) -> None:
        job = self._engine.jobs[command.job]
        for start, stop in list(job.arrivals.missing(job.total)):
            self._settle(job, start, stop, start_failure(self._engine.start_error))

    def _finish_job(self, command: FinishJob) -> None:
        job = self._engine.jobs[command.job]
        self._engine.finished.append(job)
        job.is_done = True
        self._engine.growing = [each for each in self._engine.growing if each is not job]
        # Its result may live on; what was sent need not.
        self._engine.discard(job.source.repeats)
        job.source.repeats = None
        self._forget_function(job.function)
        self._engine.jobs.pop(command.job, None)

    def _allow(self, command: Allow) -> None:
        job = self._engine.jobs[command.job]
        if job.on_allowed is not None:
            job.on_allowed(command.upto)

    def _settle(self, job: Job, start: int, stop: int, make: MakeError, pid: int = 0) -> None:
        self.arrived(job, Segment(start, stop, LOCAL, make, pid))

    def arrived(self, job: Job, segment: Segment) -> None:
        """Under the lock: record outcomes, and have them delivered."""
        job.arrivals.add(segment)
        # The one that is recorded: a message that is dealt with twice makes a second one of the same outcomes.
        known = job.arrivals.parts.get(segment.start)
        if known is not None:
            self._engine.news.append((job, known))

    def _forget_function(self, number: int) -> None:
        """No batch needs it any more; a worker that knows it is told together with its next batch."""
        if self._engine.payloads.pop(number, None) is not None:
            for worker in self._engine.workers.values():
                if number in worker.known:
                    worker.known.discard(number)
                    worker.stale.append(number)
