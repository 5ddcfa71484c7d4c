"""Virtual workers in virtual time: what stands in for processes, channels and clocks in `simulate`."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from phalanx._policy import (
    Batch,
    Command,
    DropItems,
    Event,
    FailJob,
    FinishJob,
    JobOpened,
    JobSpec,
    KillWorker,
    LoseItem,
    Progressed,
    Scheduler,
    SendBatch,
    StartWorker,
    StopWorker,
    TakeBack,
    Tick,
    TookBack,
    WorkerExited,
    WorkerReady,
)

__all__ = ["World"]

# A finished result waits at most so long in its worker.
FLUSH = 0.02
# Of the workers that die, so many do so between items, while they decode a batch.
DEATHS_BETWEEN = 0.1


class VirtualWorker:
    """A worker: takes batches in order, runs their items, reports as a real one would."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inbox: deque[Batch] = deque()
        self.limit: int | None = None  # items at and above this seq are not begun
        self.current: int | None = None  # seq of the item begun last
        self.done = 0  # of the batch at the front of the inbox
        self.reported = 0
        self.began = 0.0  # when the present item began
        self.batch_began = 0.0
        self.busy = False
        self.dies_at: float | None = None
        self.wake = 0  # only the newest wake-up counts
        self.alive = True


class World:
    """The heap of what is to happen, and the engine's part: performing commands, telling events."""

    def __init__(
        self,
        scheduler: Scheduler,
        costs: Sequence[float],
        death_rate: float,
        chance: random.Random,
        latency: float,
        startup: float,
        validate: bool,
    ) -> None:
        self.scheduler = scheduler
        self.costs = costs
        self.death_rate = death_rate
        self.chance = chance
        self.latency = latency
        self.startup = startup
        self.validate = validate
        self.now = 0.0
        self.opened = self.finished = 0.0
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.workers: dict[int, VirtualWorker] = {}
        self.ends = [0] * len(costs)
        self.outcomes: Counter[str] = Counter()
        self.begun = self.batches = self.steals = self.deaths = self.events = 0
        self.policy_seconds = 0.0
        self.is_finished = False

    # -- time --

    def run(self, spec: JobSpec) -> None:
        """Start the workers, open the job, let everything happen until the job is finished."""
        self.tell(Tick())
        while self.heap and self.heap[0][0] <= self.startup:
            self.step()
        self.opened = self.now
        self.tell(JobOpened(spec))
        while not self.is_finished:
            deadline = self.scheduler.next_deadline()
            if self.heap and (deadline is None or self.heap[0][0] <= deadline):
                self.step()
            elif deadline is not None:
                self.now = max(self.now, deadline)
                self.tell(Tick())
            else:
                raise RuntimeError(f"nothing will ever happen again: {self.scheduler.facts()!r}")

    def at(self, when: float, action: Callable[[], None]) -> None:
        heappush(self.heap, (when, next(self.order), action))

    def step(self) -> None:
        when, _, action = heappop(self.heap)
        self.now = max(self.now, when)
        action()

    # -- the engine's part --

    def tell(self, event: Event) -> None:
        """Tell the scheduler and do what it says."""
        begin = time.perf_counter()
        commands = self.scheduler.handle(event, self.now)
        self.policy_seconds += time.perf_counter() - begin
        self.events += 1
        if self.validate:
            self.scheduler.validate()
        for command in commands:
            self.perform(command)

    def perform(self, command: Command) -> None:
        match command:
            case SendBatch(number, batch):
                self.batches += 1
                worker = self.workers[number]
                self.at(self.now + self.latency, lambda: self.receive(worker, batch))
            case TakeBack(number, seq):
                self.tell(TookBack(number, self.take_back(number, seq)))
            case StartWorker(number):
                self.workers[number] = VirtualWorker(number)
                self.at(self.now + self.startup, lambda: self.tell(WorkerReady(number)))
            case StopWorker(number) | KillWorker(number):
                self.end(self.workers[number])
            case LoseItem(_, index):
                self.settle("lost", index, index + 1)
            case DropItems(_, start, stop):
                self.settle("dropped", start, stop)
            case FailJob():
                for index, ends in enumerate(self.ends):
                    if not ends:
                        self.settle("failed", index, index + 1)
            case FinishJob():
                self.is_finished = True
            case _:
                pass

    def settle(self, outcome: str, start: int, stop: int) -> None:
        self.outcomes[outcome] += stop - start
        self.finished = self.now
        for index in range(start, stop):
            self.ends[index] += 1

    # -- the workers' part --

    def receive(self, worker: VirtualWorker, batch: Batch) -> None:
        if not worker.alive:
            return
        if not worker.inbox and worker.limit is not None and batch.seq >= worker.limit:
            worker.limit = None  # all before it has ended: the engine lifted the limit to send it
        worker.inbox.append(batch)
        if not worker.busy:
            self.begin_batch(worker, self.now)

    def begin_batch(self, worker: VirtualWorker, when: float) -> None:
        worker.done = worker.reported = 0
        worker.batch_began = when
        self.begin_item(worker, when)
        self.schedule(worker)

    def begin_item(self, worker: VirtualWorker, when: float) -> bool:
        """Begin the item at place `done` of the front batch; False if there is none, or it may not start."""
        batch = worker.inbox[0]
        seq = batch.seq + worker.done
        index = batch.start + worker.done
        worker.began = when
        worker.busy = index < batch.stop and (worker.limit is None or seq < worker.limit)
        if not worker.busy:
            return False
        if self.death_rate and self.chance.random() < self.death_rate:
            worker.dies_at = when + self.costs[index] * self.chance.random()
            if worker.done == 0 and self.chance.random() < DEATHS_BETWEEN:
                worker.dies_at = when
                return True
        worker.current = seq
        self.begun += 1
        return True

    def advance(self, worker: VirtualWorker) -> None:
        """Bring the worker to the present: items that are finished by now are finished."""
        while worker.busy and worker.dies_at is None:
            batch = worker.inbox[0]
            end = worker.began + self.costs[batch.start + worker.done]
            if end > self.now:
                return
            worker.done += 1
            self.begin_item(worker, end)

    def schedule(self, worker: VirtualWorker) -> None:
        """Wake the worker when something is next to be seen of it."""
        worker.wake += 1
        wake = worker.wake
        if worker.dies_at is not None:
            when = worker.dies_at
        elif not worker.busy:
            when = worker.began
        else:
            batch = worker.inbox[0]
            stop = (
                batch.stop
                if worker.limit is None
                else min(batch.stop, batch.start + worker.limit - batch.seq)
            )
            end = worker.began
            flush = worker.batch_began + FLUSH
            for index in range(batch.start + worker.done, stop):
                end += self.costs[index]
                if end > flush:
                    break
            when = max(end, flush) if end > flush and batch.start + worker.done + 1 < stop else end
        self.at(when, lambda: self.look(worker, wake))

    def look(self, worker: VirtualWorker, wake: int) -> None:
        if wake != worker.wake or not worker.alive:
            return
        self.advance(worker)
        if worker.dies_at is not None and worker.dies_at <= self.now:
            self.die(worker)
            return
        batch = worker.inbox[0]
        ended = not worker.busy and worker.dies_at is None
        if ended or worker.done > worker.reported:
            self.report(worker, batch, ended)
        if ended:
            worker.inbox.popleft()
            if worker.inbox:
                self.begin_batch(worker, worker.began)
        else:
            worker.batch_began = self.now  # the next report is due one flush from here
            self.schedule(worker)

    def report(self, worker: VirtualWorker, batch: Batch, ended: bool) -> None:
        done = worker.done
        first = batch.start + worker.reported
        worker.reported = done
        seconds = sum(self.costs[batch.start : batch.start + done])

        def arrive() -> None:
            self.settle("arrived", first, batch.start + done) if batch.start + done > first else None
            self.tell(Progressed(worker.number, batch.id, done, seconds, ended))

        self.at(self.now + self.latency, arrive)

    def take_back(self, number: int, seq: int) -> int:
        """Lower the limit, then see what had been claimed: the protocol of the page."""
        worker = self.workers[number]
        self.advance(worker)
        claimed = 0 if worker.current is None else worker.current + 1
        worker.limit = max(seq, claimed)
        self.steals += 1
        if worker.busy:
            self.schedule(worker)
        return worker.limit

    def die(self, worker: VirtualWorker) -> None:
        self.deaths += 1
        self.end(worker)

    def end(self, worker: VirtualWorker) -> None:
        worker.alive = False
        exited = WorkerExited(worker.number, worker.current)
        self.at(self.now + self.latency, lambda: self.tell(exited))
