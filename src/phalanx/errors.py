"""The errors of this library; see `PhalanxError` for what they share."""

from phalanx._base.errors import (
    AbandonedLock,
    MemoryLimit,
    NotSendable,
    PhalanxError,
    PoolClosed,
    TaskError,
    TaskTimeout,
    WorkerLost,
    WorkerStartFailed,
)

__all__ = [
    "AbandonedLock",
    "MemoryLimit",
    "NotSendable",
    "PhalanxError",
    "PoolClosed",
    "TaskError",
    "TaskTimeout",
    "WorkerLost",
    "WorkerStartFailed",
]
