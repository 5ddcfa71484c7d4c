"""Workers: the table of their states, and what each of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, unique
from typing import TYPE_CHECKING

from phalanx._policy.records import Batch, PolicyError, WorkerState

if TYPE_CHECKING:
    from phalanx._policy.jobs import Job

__all__ = ["COUNTED", "WORKER_MOVES", "Held", "Worker", "WorkerMove"]


@unique
class WorkerMove(Enum):
    """What can happen to a worker."""

    READY = "become ready"
    RETIRE = "retire"
    STOP = "stop"
    KILL = "kill"
    END = "end"


WORKER_MOVES = {
    (WorkerState.STARTING, WorkerMove.READY): WorkerState.READY,
    (WorkerState.STARTING, WorkerMove.STOP): WorkerState.STOPPING,
    (WorkerState.STARTING, WorkerMove.KILL): WorkerState.DYING,
    (WorkerState.STARTING, WorkerMove.END): WorkerState.GONE,
    (WorkerState.READY, WorkerMove.RETIRE): WorkerState.RETIRING,
    (WorkerState.READY, WorkerMove.STOP): WorkerState.STOPPING,
    (WorkerState.READY, WorkerMove.KILL): WorkerState.DYING,
    (WorkerState.READY, WorkerMove.END): WorkerState.GONE,
    (WorkerState.RETIRING, WorkerMove.STOP): WorkerState.STOPPING,
    (WorkerState.RETIRING, WorkerMove.KILL): WorkerState.DYING,
    (WorkerState.RETIRING, WorkerMove.END): WorkerState.GONE,
    (WorkerState.STOPPING, WorkerMove.KILL): WorkerState.DYING,
    (WorkerState.STOPPING, WorkerMove.END): WorkerState.GONE,
    (WorkerState.DYING, WorkerMove.END): WorkerState.GONE,
}

#: Workers in these states fill their slot; any other wants a successor.
COUNTED = frozenset({WorkerState.STARTING, WorkerState.READY})


class Held:
    """A batch that a worker has not ended yet. Its items are counted from 0 here (*places*).

    Places below `done` have arrived; `done`..`end`-1 are still the worker's; `end` and above were taken back.
    """

    __slots__ = ("alone", "apart", "batch", "done", "end", "job", "seconds", "void", "worker")

    def __init__(self, batch: Batch, job: Job, worker: Worker, alone: bool) -> None:
        self.batch = batch
        self.job = job
        self.worker = worker
        self.done = 0
        self.end = batch.stop - batch.start
        self.seconds = 0.0
        self.alone = alone
        self.apart: set[int] | None = None  # places whose outcome was settled otherwise (retry, timeout)
        self.void = False  # its job has failed: no outcome is wanted any more

    def __repr__(self) -> str:
        return f"<Held {self.batch!r} {self.done}/{self.end}{' void' if self.void else ''}>"

    def set_apart(self, place: int) -> None:
        """This place's outcome comes another way."""
        if self.apart is None:
            self.apart = set()
        self.apart.add(place)

    def is_apart(self, place: int) -> bool:
        """This place's outcome came another way."""
        return self.apart is not None and place in self.apart

    def count_apart(self, start: int, stop: int) -> int:
        """How many of these places had their outcome another way."""
        return 0 if not self.apart else sum(start <= place < stop for place in self.apart)

    def left(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The items at places start..stop-1 that still want an outcome, as ranges of indices."""
        if self.void:
            return
        base = self.batch.start
        for place in sorted(self.apart or ()):
            if start <= place < stop:
                if start < place:
                    yield base + start, base + place
                start = place + 1
        if start < stop:
            yield base + start, base + stop


class Worker:
    """One worker as the policy sees it."""

    __slots__ = (
        "ahead",
        "answer_due",
        "alarm",
        "alone",
        "asked",
        "behind",
        "claimed",
        "epoch",
        "fruitful",
        "held",
        "id",
        "limited",
        "load",
        "next_seq",
        "questioned",
        "questions",
        "running",
        "running_since",
        "seen",
        "slot",
        "state",
        "tasks",
    )

    def __init__(self, worker: int, slot: int, epoch: int, now: float) -> None:
        self.id = worker
        self.slot = slot
        self.epoch = epoch  # which attempt at starting workers it belongs to
        self.state = WorkerState.STARTING
        self.held: list[Held] = []  # oldest first, at most `prefetch`
        self.load = 0  # items held that have neither arrived nor been taken back
        self.next_seq = 0
        self.tasks = 0  # toward max_tasks_per_child
        self.limited = False  # its page refuses new items until what it holds has ended
        self.asked: int | None = None  # the seq of a TakeBack that is not answered yet
        self.claimed = 0  # items with a lower seq cannot be taken back any more
        self.alone = False  # holds an item that must not have company
        self.seen = now  # when it last reported, or got work after having none
        self.alarm: float | None = None  # when to look whether its item runs too long
        self.running = -1  # seq of the item last seen running ...
        self.running_since = now  # ... and since when
        self.questioned = -1  # seq of the item under which it was asked where it is ...
        self.questions = 0  # ... how often ...
        self.answer_due = now  # ... and when it should have said
        self.fruitful = False  # has finished an item
        self.ahead: Worker | None = None  # its predecessor in the slot, still at work
        self.behind: Worker | None = None  # its successor in the slot, waiting

    def __repr__(self) -> str:
        return f"<Worker {self.id} slot={self.slot} {self.state.name} holds {self.held!r}>"

    def move(self, move: WorkerMove) -> None:
        """Make the move or raise."""
        state = WORKER_MOVES.get((self.state, move))
        if state is None:
            raise PolicyError(f"cannot {move.value} {self!r}")
        self.state = state

    def find(self, batch: int) -> Held | None:
        """What it holds of this batch."""
        for held in self.held:
            if held.batch.id == batch:
                return held
        return None

    def at(self, seq: int) -> tuple[Held, int] | None:
        """The batch and place of a sequence number that it still has to deliver."""
        for held in self.held:
            place = seq - held.batch.seq
            if held.done <= place < held.end:
                return held, place
        return None

    def end_seq(self) -> int:
        """Items with this number and above are not the worker's: never sent, or taken back."""
        held = self.first_left()
        # Only tails are taken back, so what is left has no gaps.
        return self.next_seq if held is None else held.batch.seq + held.done + self.load

    def first_left(self) -> Held | None:
        """The oldest batch of which something has not arrived: that is where it is working."""
        for held in self.held:
            if held.done < held.end:
                return held
        return None
