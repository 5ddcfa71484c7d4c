"""What the engine knows of one worker: its channel, its page, what it holds."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from phalanx._base.identity import WorkerIdentity
from phalanx._base.output import STDERR
from phalanx._base.page import CLAIM, CURRENT, LIMIT, NO_LIMIT, ORDERLY, START_NS, TIMED
from phalanx._base.seams import WorkerEnded
from phalanx._platform.asking import StackRequest
from phalanx._policy import Batch, WorkerFacts, WorkerState

# Enough for the end of a traceback.
LAST_LINES = 20


class Held:
    """A batch with a worker, and how many of its items have arrived."""

    __slots__ = ("apart", "batch", "done")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.done = 0
        self.apart: set[int] = set()
        """Places, counted from the batch's start, whose outcome comes another way (see `recording`)."""

    def set_apart(self, place: int) -> None:
        """One store."""
        self.apart.add(place)


class Worker:
    """One worker, from the order to start it until it is reaped. Facts; the policy holds the state."""

    __slots__ = (
        "_fence",
        "arrays",
        "asked",
        "blocks",
        "channel",
        "cut",
        "ended",
        "held",
        "identity",
        "known",
        "lends",
        "lent",
        "limit",
        "next_seq",
        "opened",
        "outdated",
        "owed",
        "page",
        "pid",
        "ready",
        "requested",
        "said",
        "sent_tasks",
        "shares",
        "stale",
        "stopping",
        "wants",
        "writing",
    )

    def __init__(self, identity: WorkerIdentity, channel: Any, page: Any) -> None:
        self.identity = identity
        self.channel = channel
        self.page = page
        page[CURRENT] = page[CLAIM] = page[START_NS] = page[TIMED] = page[ORDERLY] = 0
        page[LIMIT] = NO_LIMIT
        self.pid = 0
        self.requested = False
        self.ready = False
        self.stopping = False
        self.ended: WorkerEnded | None = None
        self.known: set[int] = set()
        self.stale: list[int] = []
        self.held: dict[int, Held] = {}
        self.limit: int | None = None
        self.cut: int | None = None
        self.next_seq = 0
        self.sent_tasks = 0
        # A processor may do a load before the store in front of it is seen by others; not across a lock.
        self._fence = threading.RLock()
        self.writing = False
        # What is lent and borrowed (see `lending`): blocks announced to it, loans by ticket, tickets and blocks
        # that it is to be told of; blocks that it has announced, and what was opened of a message being dealt with.
        self.blocks: set[int] = set()
        self.lent: dict[int, Any] = {}
        self.owed: list[int] = []
        self.outdated: list[int] = []
        self.lends: set[int] = set()
        self.opened: dict[tuple[int, ...], Any] = {}
        self.shares: dict[int, Any] = {}
        """By number: weak references to the handles that it was told of."""
        self.arrays: dict[int, Any] = {}
        """By number: blocks of shared arrays that its results may name."""
        self.said: deque[str] = deque(maxlen=LAST_LINES)
        """The last lines that it has printed on stderr, if that is captured."""
        self.wants: str | None = None
        """The name that its `__main__` lacks and that it waits for."""
        self.asked: StackRequest | None = None
        """Where it was, when it was asked because its item has run too long."""

    def hear(self, kind: int, content: Any) -> None:
        """It has printed this, or logged it."""
        if kind == STDERR:
            self.said.extend(content.splitlines())

    def hold(self, batch: Batch) -> Held:
        """The batch is on its way to the worker."""
        held = self.held.get(batch.id)
        if held is None:
            self.next_seq = batch.seq + batch.stop - batch.start
            held = self.held[batch.id] = Held(batch)
        return held

    def lower_limit(self, seq: int) -> int:
        """Take back what the worker has not claimed from `seq` on; returns the first number that will not start.

        The worker stores its claim before it reads the limit, so whatever it claims after we read is clipped;
        until then, its claim may look larger than it is. So an answer that was given stands.
        """
        if self.limit is None or seq < self.limit:
            self.limit = seq
        with self._fence:
            self.page[LIMIT] = self.limit
        with self._fence:
            cut = max(seq, self.page[CLAIM])
        self.cut = cut if self.cut is None or cut < self.cut else self.cut
        return self.cut

    def raise_limit(self) -> None:
        """The worker may claim anything again."""
        self.page[LIMIT] = NO_LIMIT
        self.limit = self.cut = None

    def time_items(self) -> None:
        """Have the worker write down when each item begins, from its next batch on."""
        self.page[TIMED] = 1

    def current(self) -> int | None:
        """The number of the item begun last."""
        begun: int = self.page[CURRENT]
        return begun - 1 if begun else None

    def since(self) -> float | None:
        """When that item (or, if items are not timed, its claim) began, on the monotonic clock."""
        began: int = self.page[START_NS]
        return began / 1e9 if began else None

    def at_work(self) -> tuple[int, float] | None:
        """The index of the item that it runs, and since when; None if it runs none."""
        current, since = self.current(), self.since()
        if current is None or since is None:
            return None
        for held in list(self.held.values()):
            place = current - held.batch.seq
            if held.done <= place < held.batch.stop - held.batch.start:
                return held.batch.start + place, since
        return None

    def holding(self, job: int, index: int) -> Held | None:
        """The batch that an item was sent in last."""
        for held in reversed(list(self.held.values())):
            if held.batch.job == job and held.batch.start <= index < held.batch.stop:
                return held
        return None

    def facts(self) -> WorkerFacts:
        """What a scheduler is rebuilt from."""
        if self.stopping:
            state = WorkerState.STOPPING
        else:
            state = WorkerState.READY if self.ready else WorkerState.STARTING
        cut = None if self.limit is None else self.lower_limit(self.limit)
        batches = [(held.batch, held.done) for held in self.held.values()]
        queued = [
            (out.batch, 0) for out in self.channel.outbox if out.batch and out.batch.id not in self.held
        ]
        held_now = [(_cut(batch, cut), done) for batch, done in batches + queued]
        apart = {held.batch.id: sorted(held.apart) for held in self.held.values() if held.apart}
        return WorkerFacts(
            self.identity.worker,
            self.identity.slot,
            state,
            held_now,
            self.sent_tasks,
            self.next_seq,
            self.limit is not None,
            apart,
        )


def _cut(batch: Batch, limit: int | None) -> Batch:
    """The batch without what was taken back."""
    stop = batch.stop if limit is None else min(batch.stop, batch.start + max(0, limit - batch.seq))
    return Batch(batch.id, batch.job, batch.start, stop, batch.seq)
