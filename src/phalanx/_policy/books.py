"""The books: every fact that decisions rest on, and the small moves that keep the facts in step with one
another.

`idle` and `partial` hold the workers that can take a batch now: those that hold nothing and those that hold
something but less than `prefetch` batches. Both are used as stacks: the worker that reported last is warm and
surely alive. `victims` holds the workers from which something might be taken back, longest silent first.
`turn` is the round robin: jobs that may have something to give out (looked at again when their turn comes).
While an alone item waits, only idle workers get work, so that one becomes idle soon.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from phalanx._policy.commands import Command, DropItems, FinishJob, TakeBack
from phalanx._policy.deadlines import Alarms
from phalanx._policy.jobs import Job, JobMove
from phalanx._policy.records import Config, JobState, Mode, WorkerState
from phalanx._policy.slots import Slots, Starts
from phalanx._policy.workers import COUNTED, Worker, WorkerMove

__all__ = ["Books"]


class Books:
    """All the facts. The functions of the other modules work on them; `Scheduler` is the door."""

    __slots__ = (
        "alarms",
        "alones",
        "config",
        "counted",
        "hungry",
        "idle",
        "jobs",
        "killing",
        "mode",
        "next_batch",
        "next_worker",
        "partial",
        "prefetch",
        "questions",
        "ready",
        "shares",
        "scarce",
        "size",
        "slots",
        "starting",
        "starts",
        "steal_at",
        "turn",
        "victims",
        "weighs",
        "workers",
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.size = config.size
        self.prefetch = config.prefetch
        self.shares = 2 * max(1, config.size)  # a batch is at most one such part of what is left
        self.mode: Mode | None = None
        #: Some ready worker could be given more work right now. Kept up to date, for the engine to read at no
        #: cost.
        self.hungry = False
        self.jobs: dict[int, Job] = {}
        self.turn: deque[Job] = deque()
        self.alones: deque[tuple[Job, int]] = deque()
        self.killing: set[Job] = set()  # cancelled jobs whose running items are to be killed
        self.workers: dict[int, Worker] = {}
        self.idle: dict[int, Worker] = {}
        self.partial: dict[int, Worker] = {}
        self.victims: OrderedDict[int, Worker] = OrderedDict()
        self.steal_at: float | None = None
        self.scarce = False  # memory: while it is, items run one at a time
        self.weighs = config.limits_memory
        self.slots = Slots(config.size)
        self.starts = Starts()
        self.starting = 0  # workers in this state
        self.ready = 0  # workers in this state
        self.counted = 0  # workers that fill a slot: both of the above
        self.alarms = Alarms(config.seed)
        #: Commands that are answered by an event. They go last, so that an answer told in the middle of
        #: performing finds everything else performed.
        self.questions: list[Command] = []
        self.next_batch = 0
        self.next_worker = 0

    # -- workers --

    def change(self, worker: Worker, move: WorkerMove) -> None:
        """Move a worker's state, and what is counted by state."""
        was = worker.state
        worker.move(move)
        now = worker.state
        self.starting += (now is WorkerState.STARTING) - (was is WorkerState.STARTING)
        self.ready += (now is WorkerState.READY) - (was is WorkerState.READY)
        self.counted = self.starting + self.ready
        if was in COUNTED and now not in COUNTED:
            self.slots.vacate(worker.slot)
        self.place(worker)

    def place(self, worker: Worker) -> None:
        """Put the worker where it belongs among those that can take a batch."""
        number = worker.id
        held = len(worker.held)
        if (
            worker.state is WorkerState.READY
            and held < self.prefetch
            and worker.ahead is None
            and not worker.limited
            and not worker.alone
            and worker.asked is None
        ):
            if held:
                self.partial[number] = worker
                self.idle.pop(number, None)
            else:
                self.idle[number] = worker
                self.partial.pop(number, None)
        else:
            self.idle.pop(number, None)
            self.partial.pop(number, None)
        self.hungry = True if self.idle else bool(self.partial) and not self.alones

    def leave_slot(self, worker: Worker) -> None:
        """The worker runs nothing any more; its successor, if there is one, may."""
        behind = self.slots.leave(worker)
        if behind is not None:
            self.place(behind)

    def mark_victim(self, worker: Worker) -> None:
        """It has just reported, or got work: is there something that could be taken back?"""
        if worker.load > 1 and worker.state is not WorkerState.DYING:
            self.victims[worker.id] = worker
            self.victims.move_to_end(worker.id)
        else:
            self.victims.pop(worker.id, None)

    def take_back(self, worker: Worker, seq: int) -> None:
        """Ask for everything from this sequence number on, unless it was asked for."""
        if worker.state is not WorkerState.READY and worker.state is not WorkerState.RETIRING:
            return
        if worker.asked is not None and worker.asked <= seq:
            return
        worker.asked = seq
        self.place(worker)
        self.questions.append(TakeBack(worker.id, seq))

    # -- jobs --

    def list_job(self, job: Job) -> None:
        """It may have something to give out."""
        if not job.listed and job.offers():
            job.listed = True
            self.turn.append(job)

    def offering(self) -> Job | None:
        """The job whose turn it is."""
        turn = self.turn
        while turn:
            job = turn[0]
            if job.offers():
                return job
            job.listed = False
            turn.popleft()
        return None

    def requeue(self, job: Job, start: int, stop: int, out: list[Command]) -> None:
        """Items that were given out have come back without an outcome."""
        if job.state is JobState.CANCELLED:
            self.drop(job, start, stop, out)
            return
        if job.unwanted:
            for index in sorted(index for index in job.unwanted if start <= index < stop):
                job.give_back(start, index)
                self.drop(job, index, index + 1, out)
                start = index + 1
        job.give_back(start, stop)
        self.list_job(job)

    def requeue_alone(self, job: Job, start: int, stop: int, out: list[Command]) -> None:
        """The same, but each may kill its worker and must have one for itself."""
        if job.state is JobState.CANCELLED:
            self.drop(job, start, stop, out)
            return
        for index in range(start, stop):
            if index in job.unwanted:
                self.drop(job, index, index + 1, out)
            else:
                job.alone.add(index)
                self.alones.append((job, index))
        self.forget_stale_alones()

    def forget_stale_alones(self) -> None:
        """An alone item that was cancelled must not hold up the rest."""
        alones = self.alones
        while alones and alones[0][1] not in alones[0][0].alone:
            alones.popleft()
        self.hungry = True if self.idle else bool(self.partial) and not alones

    def drop(self, job: Job, start: int, stop: int, out: list[Command]) -> None:
        """Items that will never run."""
        if start < stop:
            job.settled += stop - start
            if job.unwanted:
                job.unwanted.difference_update(range(start, stop))
                job.doomed.difference_update(range(start, stop))
            out.append(DropItems(job.id, start, stop))

    def finish_if_done(self, job: Job, out: list[Command]) -> None:
        """Close the book on a job that has every outcome."""
        if job.is_done:
            job.move(JobMove.FINISH)
            del self.jobs[job.id]
            self.killing.discard(job)
            out.append(FinishJob(job.id))
