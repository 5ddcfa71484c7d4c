"""Schedulers in a known state, and readers of what they say."""

from __future__ import annotations

from typing import Any, TypeVar

from phalanx._policy import Command, Config, Scheduler, SendBatch, Tick, WorkerReady

T = TypeVar("T")


def ready_pool(size: int = 2, **options: Any) -> Scheduler:
    """A scheduler whose workers 0..size-1 are ready."""
    scheduler = Scheduler(Config(size, **options))
    scheduler.handle(Tick(), 0.0)
    for worker in range(size):
        assert scheduler.handle(WorkerReady(worker), 0.0) == []
    return scheduler


def sent(commands: list[Command]) -> list[tuple[int, int, int]]:
    """(worker, start, stop) of each batch."""
    batches = only(commands, SendBatch)
    return [(command.worker, command.batch.start, command.batch.stop) for command in batches]


def only(commands: list[Command], kind: type[T]) -> list[T]:
    """The commands of one kind."""
    return [command for command in commands if isinstance(command, kind)]
