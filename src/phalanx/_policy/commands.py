"""What to do: the only way out. Names are orders; the scheduler makes them, the engine performs them in this
order.

Every item gets exactly one outcome: its result arrives (`Progressed`), or it is named by exactly one of
`LoseItem`, `TimeOutItem`, `LimitItem`, `SettleItem`, `DropItems`, or `FailJob` covers it. Then, once per job
and last, `FinishJob`. `tries`: how often the item was begun in all, as far as that was for its own sake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from phalanx._policy.records import Batch, Why

__all__ = [
    "Allow",
    "Command",
    "DropItems",
    "DumpStack",
    "FailJob",
    "FinishJob",
    "KillWorker",
    "LimitItem",
    "Look",
    "LoseItem",
    "SendBatch",
    "SettleItem",
    "StartWorker",
    "StopWorker",
    "TakeBack",
    "TimeOutItem",
    "WarnOfMemory",
]


@dataclass(slots=True)
class StartWorker:
    """Start a worker under this new number, in this slot."""

    worker: int
    slot: int


@dataclass(slots=True)
class StopWorker:
    """Tell the worker to leave; it holds nothing."""

    worker: int


@dataclass(slots=True)
class KillWorker:
    """End the worker by force; `WorkerExited` follows as for any death."""

    worker: int
    why: Why


@dataclass(slots=True)
class SendBatch:
    """Send the batch; raise the worker's limit first if it was lowered."""

    worker: int
    batch: Batch


@dataclass(slots=True)
class TakeBack:
    """Lower the worker's limit to `seq`, read what it had claimed, and answer `TookBack` at once."""

    worker: int
    seq: int


@dataclass(slots=True)
class Look:
    """Look at the worker (its page; its memory, if that is limited) and answer `WorkerSeen` at once."""

    worker: int


@dataclass(slots=True)
class DumpStack:
    """Have the worker write down where it is: in a moment it will be killed for being there.

    Comes twice, because a worker that is inside C code has to be asked again.
    """

    worker: int
    again: bool = False


@dataclass(slots=True)
class WarnOfMemory:
    """Memory is so short (`free` bytes are left) that no new item starts while another runs."""

    free: int


@dataclass(slots=True)
class LoseItem:
    """Final: the item's worker died under it, and `crash_retries` are used up."""

    job: int
    index: int
    worker: int
    tries: int = 1


@dataclass(slots=True)
class TimeOutItem:
    """Final: the item ran past its timeout. What may still arrive for it is to be ignored."""

    job: int
    index: int
    worker: int
    tries: int = 1


@dataclass(slots=True)
class LimitItem:
    """Final: the item took its worker, at `rss` bytes, past `memory_limit`; else as `TimeOutItem`."""

    job: int
    index: int
    worker: int
    rss: int
    tries: int = 1


@dataclass(slots=True)
class SettleItem:
    """Final: the error that `ItemFailed` told of stands."""

    job: int
    index: int
    tries: int = 1


@dataclass(slots=True)
class DropItems:
    """Final: items start..stop-1 were cancelled before they started, or killed by a cancel that kills."""

    job: int
    start: int
    stop: int


@dataclass(slots=True)
class FinishJob:
    """The job is sealed or cancelled and every item has its outcome. The last word about a job."""

    job: int


@dataclass(slots=True)
class FailJob:
    """Final for every item of the job that has no outcome yet: workers cannot start.

    A job that is not sealed lives on: what it grows by afterwards is new work and makes a new attempt.
    """

    job: int
    why: Why


@dataclass(slots=True)
class Allow:
    """The window moved: items below `upto` may be pulled from the input."""

    job: int
    upto: int


Command: TypeAlias = (
    StartWorker
    | StopWorker
    | KillWorker
    | SendBatch
    | TakeBack
    | Look
    | DumpStack
    | WarnOfMemory
    | LoseItem
    | TimeOutItem
    | LimitItem
    | SettleItem
    | DropItems
    | FinishJob
    | FailJob
    | Allow
)
