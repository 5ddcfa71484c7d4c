"""What happened: the only way in. Names are in the past tense; the engine makes them, the scheduler reads
them.

Events may be told twice and may be about things that have ended since; the scheduler takes both in its
stride.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from phalanx._policy.records import JobSpec, Mode

__all__ = [
    "CancelAsked",
    "CloseAsked",
    "Event",
    "ItemFailed",
    "JobCancelled",
    "JobConsumed",
    "JobGrew",
    "JobOpened",
    "JobSealed",
    "Progressed",
    "Resized",
    "Tick",
    "TookBack",
    "Undecodable",
    "WorkerExited",
    "WorkerReady",
    "WorkerSeen",
    "WorkerStartFailed",
]


@dataclass(slots=True)
class JobOpened:
    """A new job; its number was never used before."""

    spec: JobSpec


@dataclass(slots=True)
class JobGrew:
    """Items below `total` exist now."""

    job: int
    total: int


@dataclass(slots=True)
class JobSealed:
    """The job will not grow any more."""

    job: int


@dataclass(slots=True)
class JobConsumed:
    """The caller has taken `consumed` results so far (a running count). `window`: a wider one than before."""

    job: int
    consumed: int
    window: int | None = None


@dataclass(slots=True)
class JobCancelled:
    """Nothing more of this job is wanted. What has not started is dropped; `kill`: what runs is killed."""

    job: int
    kill: bool


@dataclass(slots=True)
class WorkerReady:
    """The worker has initialised and takes work."""

    worker: int


@dataclass(slots=True)
class WorkerStartFailed:
    """The worker's initializer raised (or it could not be started at all)."""

    worker: int


@dataclass(slots=True)
class WorkerExited:
    """The worker is dead and its channel drained. `current`: seq of the item it began last, or None."""

    worker: int
    current: int | None


@dataclass(slots=True)
class Progressed:
    """`done` items of this batch have arrived so far (a running count), in `seconds` of the worker's time so
    far.

    `ended`: no more comes from this batch; `done` may be less than its size if the rest was taken back.
    """

    worker: int
    batch: int
    done: int
    seconds: float
    ended: bool


@dataclass(slots=True)
class Undecodable:
    """The worker could not decode this batch of several: nothing more comes from it, the rest goes one at a time.

    An item that cannot be decoded when it comes by itself fails as any other does.
    """

    worker: int
    batch: int


@dataclass(slots=True)
class ItemFailed:
    """The item came back with an error that the options may let try again (`retryable`).

    Told before the `Progressed` whose count steps over the item. The answer is `SettleItem`, now, or a later
    batch. `worker`, if told, saves looking for it.
    """

    job: int
    index: int
    retryable: bool
    worker: int | None = None


@dataclass(slots=True)
class TookBack:
    """The answer to `TakeBack`: nothing with a sequence number >= `seq` will start on that worker."""

    worker: int
    seq: int


@dataclass(slots=True)
class CancelAsked:
    """One item is not wanted any more. `DropItems` says that it will not run; without that, it started.

    `kill`: then its worker is killed under it, and `DropItems` follows.
    """

    job: int
    index: int
    kill: bool = False


@dataclass(slots=True)
class WorkerSeen:
    """How a worker was found: the answer to `Look`.

    `seq`: the number of the item begun last, `since` when if the page tells. `rss`: bytes of memory that the
    worker has; `free`: bytes that the whole machine (or container) still has. None: not asked, or not known.
    """

    worker: int
    seq: int | None
    since: float | None = None
    rss: int | None = None
    free: int | None = None


@dataclass(slots=True)
class Resized:
    """The pool shall have so many workers."""

    size: int


@dataclass(slots=True)
class CloseAsked:
    """The pool shall end. A harder mode may follow a softer one."""

    mode: Mode


@dataclass(slots=True)
class Tick:
    """A deadline passed. Also the first event of a pool that starts its workers at once."""


Event: TypeAlias = (
    JobOpened
    | JobGrew
    | JobSealed
    | JobConsumed
    | JobCancelled
    | WorkerReady
    | WorkerStartFailed
    | WorkerExited
    | Progressed
    | Undecodable
    | ItemFailed
    | TookBack
    | CancelAsked
    | WorkerSeen
    | Resized
    | CloseAsked
    | Tick
)
