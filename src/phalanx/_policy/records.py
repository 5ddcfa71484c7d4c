"""The nouns of the policy: what a job is, what a batch is, and the facts a scheduler can be rebuilt from.

Records are plain slotted dataclasses, not frozen: a frozen one costs three times as much to make, and several
are made for every batch. Nobody changes one after it was handed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique

__all__ = [
    "Batch",
    "Config",
    "Facts",
    "JobFacts",
    "JobSpec",
    "JobState",
    "Mode",
    "PolicyError",
    "Why",
    "WorkerFacts",
    "WorkerState",
]


class PolicyError(Exception):
    """A bug of ours: an illegal move of a state machine, or a broken invariant. Carries the story."""


@unique
class Mode(Enum):
    """How a pool ends."""

    DRAIN = "finish everything that was accepted, then stop"
    CANCEL_QUEUED = "drop what has not started, finish what runs, then stop"
    TERMINATE = "drop everything, kill the workers"


@unique
class Why(Enum):
    """The reason inside `KillWorker` and `FailJob`."""

    TIMED_OUT = "its item ran past the timeout"
    OVER_LIMIT = "its item went past the memory limit"
    CANCELLED = "the job it was running was cancelled"
    TERMINATED = "the pool was terminated"
    INITIALIZER = "the initializer failed"
    DIED_STARTING = "workers ended before they were ready"


@unique
class WorkerState(Enum):
    """Where a worker stands; the legal moves are `workers.WORKER_MOVES`."""

    STARTING = "asked for, not heard of yet"
    READY = "takes work"
    RETIRING = "finishes what it holds, takes no more"
    STOPPING = "told to leave, holds nothing"
    DYING = "told to be killed"
    GONE = "ended"


@unique
class JobState(Enum):
    """Where a job stands; the legal moves are `jobs.JOB_MOVES`."""

    OPEN = "may still grow"
    SEALED = "its total is final"
    CANCELLED = "nothing of it may start any more"
    FINISHED = "every item has its outcome"


@dataclass(slots=True)
class JobSpec:
    """One call of the user's: items 0..total-1, of which `total` may grow until the job is sealed.

    `window`: at most so many items may be given out, or have arrived, and not be consumed. `task_size`: how
    many items count as one task toward `max_tasks_per_child` (a drop-in `Pool` counts chunks).
    """

    job: int
    total: int
    sealed: bool
    chunksize: int | None = None
    window: int | None = None
    task_size: int = 1
    crash_retries: int = 0
    retries: int = 0
    backoff: float = 0.0
    timeout: float | None = None


@dataclass(slots=True)
class Batch:
    """Items start..stop-1 of one job, as sent to one worker.

    `seq` is the worker-wide number of its first item: each worker counts all items ever sent to it from 0 on.
    """

    id: int
    job: int
    start: int
    stop: int
    seq: int


@dataclass(slots=True)
class Config:
    """What a pool was asked to be.

    `prefetch`: batches in flight per worker (the second hides the round trip). `target`: seconds of work in a
    batch. `seed`: for the jitter of retries; two pools that fail together should not try again together.
    `max_memory`, `memory_limit`, `memory_floor`: bytes; a worker above the first is replaced between items, an
    item that takes it above the second is stopped, and with less than the third left in all no new item starts.
    """

    size: int
    on_demand: bool = False
    prefetch: int = 2
    target: float = 0.01
    max_tasks_per_child: int | None = None
    seed: int = 0
    max_memory: int | None = None
    memory_limit: int | None = None
    memory_floor: int = 0

    @property
    def limits_memory(self) -> bool:
        """Whether workers have to be weighed."""
        return self.max_memory is not None or self.memory_limit is not None

    @property
    def least_limit(self) -> int:
        """A worker that has no more than so many bytes is left alone."""
        return min(limit for limit in (self.max_memory, self.memory_limit) if limit is not None)


@dataclass(slots=True)
class JobFacts:
    """What is known of an unfinished job. `spec` has the present total and `sealed`.

    `alone`: items, missing or held, of which each may kill its worker and must have one for itself.

    `missing`: ranges that have no outcome and that no worker holds. The rest may be left out: an engine that
    does not keep it loses only the memory of earlier tries.
    """

    spec: JobSpec
    consumed: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    cancelled: bool = False
    kill: bool = False
    tries: dict[int, int] = field(default_factory=dict)
    crashes: dict[int, int] = field(default_factory=dict)
    alone: list[int] = field(default_factory=list)


@dataclass(slots=True)
class WorkerFacts:
    """What is known of a worker. `held`: batches that have not ended, oldest first, with the count that has
    arrived.

    What was taken back is already cut from the batch (its `stop` is lower); `limited` says that this happened
    and that the page still holds the lowered limit. `apart`: for a batch, places (counted from its start) of
    items it still holds whose outcome is known or comes from elsewhere. Both may be left out.
    """

    worker: int
    slot: int
    state: WorkerState
    held: list[tuple[Batch, int]] = field(default_factory=list)
    sent_tasks: int = 0
    next_seq: int = 0
    limited: bool = False
    apart: dict[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Facts:
    """Everything `Scheduler.rebuild` needs; what `Scheduler.facts()` returns."""

    config: Config
    jobs: list[JobFacts]
    workers: list[WorkerFacts]
    mode: Mode | None
    next_batch: int
    next_worker: int
