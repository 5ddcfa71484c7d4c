"""Jobs: which items of a call are still to be given out, and which have their outcome.

No object stands for an item. A job's items are ranges: *fresh* ones (`next`..`limit`-1, never given out),
*returned* ones (given out and come back: taken back, or left by a dead worker), *singles* (to go alone in a
batch), *alone* ones (singles that must have a worker for themselves, see `blame`), *waiting* ones (to be
tried again after a pause) and those *held* by workers. Everything else has its outcome and is only counted,
in `settled`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum, unique
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from phalanx._policy.records import JobSpec, JobState, PolicyError
from phalanx._policy.sizing import Pace

if TYPE_CHECKING:
    from phalanx._policy.workers import Held

__all__ = ["ITEM_MOVES", "JOB_MOVES", "ItemMove", "ItemState", "Job", "JobMove"]


@unique
class JobMove(Enum):
    """What can happen to a job."""

    SEAL = "seal"
    CANCEL = "cancel"
    FINISH = "finish"


JOB_MOVES = {
    (JobState.OPEN, JobMove.SEAL): JobState.SEALED,
    (JobState.OPEN, JobMove.CANCEL): JobState.CANCELLED,
    (JobState.SEALED, JobMove.CANCEL): JobState.CANCELLED,
    (JobState.SEALED, JobMove.FINISH): JobState.FINISHED,
    (JobState.CANCELLED, JobMove.FINISH): JobState.FINISHED,
}


@unique
class ItemState(Enum):
    """Where one item stands. Kept as ranges here; the tests' reference model keeps it item by item."""

    QUEUED = "to be given out"
    SENT = "held by a worker"
    ARRIVED = "its result (or final error) is there"
    LOST = "its worker died under it"
    TIMED_OUT = "it ran too long"
    OVER_LIMIT = "it took too much memory"
    DROPPED = "cancelled"
    FAILED = "no worker could start"


# No batch is made smaller than this part of a full one (10 ms) for the sake of an even end: 0.2 ms of work
# costs the parent about as much as it saves.
LEAST_PART = 50


@unique
class ItemMove(Enum):
    """What can happen to an item."""

    SEND = "send"
    RETURN = "return"
    ARRIVE = "arrive"
    LOSE = "lose"
    TIME_OUT = "time out"
    LIMIT = "go past the memory limit"
    DROP = "drop"
    FAIL = "fail"


ITEM_MOVES = {
    (ItemState.QUEUED, ItemMove.SEND): ItemState.SENT,
    (ItemState.QUEUED, ItemMove.DROP): ItemState.DROPPED,
    (ItemState.QUEUED, ItemMove.FAIL): ItemState.FAILED,
    (ItemState.SENT, ItemMove.RETURN): ItemState.QUEUED,
    (ItemState.SENT, ItemMove.ARRIVE): ItemState.ARRIVED,
    (ItemState.SENT, ItemMove.LOSE): ItemState.LOST,
    (ItemState.SENT, ItemMove.TIME_OUT): ItemState.TIMED_OUT,
    (ItemState.SENT, ItemMove.LIMIT): ItemState.OVER_LIMIT,
    (ItemState.SENT, ItemMove.DROP): ItemState.DROPPED,
    (ItemState.SENT, ItemMove.FAIL): ItemState.FAILED,
}


class Job:
    """One call, seen as ranges of items."""

    __slots__ = (
        "alone",
        "back",
        "chunksize",
        "consumed",
        "crashes",
        "doomed",
        "held",
        "id",
        "kill",
        "limit",
        "listed",
        "next",
        "pace",
        "patch",
        "returned",
        "settled",
        "singles",
        "skipped",
        "skips",
        "spec",
        "state",
        "task_size",
        "timeout",
        "total",
        "tries",
        "unwanted",
        "waiting",
        "window",
    )

    def __init__(self, spec: JobSpec, size: int, target: float) -> None:
        self.spec = spec
        self.id = spec.job
        self.total = spec.total
        self.state = JobState.SEALED if spec.sealed else JobState.OPEN
        self.chunksize = spec.chunksize
        self.task_size = spec.task_size
        self.timeout = spec.timeout
        self.window: int | None = None
        self.consumed = 0
        self.next = 0  # the first item that was never given out
        self.limit = 0  # items below may be given out: the total, or where the window ends
        self.patch = 1
        self.settled = 0  # items that have their outcome
        self.returned: deque[list[int]] = deque()  # [start, stop]
        self.back = 0  # items in `returned` and `singles`
        self.singles: deque[int] = deque()
        self.alone: set[int] = set()
        self.waiting: set[int] = set()
        self.skips: list[int] = []  # heap: dropped ones among the fresh ...
        self.skipped: set[int] = set()  # ... and the same as a set
        self.unwanted: set[int] = set()  # cancelled while held: dropped if they come back
        self.doomed: set[int] = set()  # those of the unwanted whose worker is to be killed if they have begun
        self.held: dict[int, Held] = {}  # by batch number; those with outcomes yet to come
        self.tries: dict[int, int] = {}
        self.crashes: dict[int, int] = {}
        self.kill = False
        self.listed = False  # stands in the round robin
        self.pace = Pace(target)
        self.set_window(spec.window, size)

    def __repr__(self) -> str:
        return (
            f"<Job {self.id} {self.state.name} {self.settled}/{self.total} settled, next={self.next} "
            f"limit={self.limit} back={self.back} held={len(self.held)}>"
        )

    def move(self, move: JobMove) -> None:
        """Make the move or raise."""
        state = JOB_MOVES.get((self.state, move))
        if state is None:
            raise PolicyError(f"cannot {move.value} {self!r}")
        self.state = state

    def set_window(self, window: int | None, size: int) -> None:
        """At most so many items may be given out or have arrived and not be consumed.

        With a full window and a quick caller, places come free one by one; they are given out in patches,
        else the batches would shrink to one item. Four per worker, so that nobody waits for the slowest
        place.
        """
        self.window = window
        self.patch = 1 if window is None else max(1, window // (4 * size))
        self.widen()

    def widen(self) -> None:
        """Put `limit` where total and window allow it."""
        limit = self.total
        if self.window is not None and self.consumed + self.window < limit:
            limit = self.consumed + self.window
        self.limit = limit

    @property
    def is_done(self) -> bool:
        """Nothing will come any more, and nobody has said so yet."""
        return self.settled == self.total and (
            self.state is JobState.SEALED or self.state is JobState.CANCELLED
        )

    @property
    def queued(self) -> int:
        """Items that can still be given out in the order of the job (not alone, not waiting for a retry)."""
        return self.total - self.next - len(self.skips) + self.back

    def offers(self) -> bool:
        """There is an item to give out now."""
        if self.back:
            return True
        free = self.limit - self.next
        if free <= 0:
            return False
        # `consumed < next`: something is still on its way to the caller, who will make room and so bring us
        # back here.
        return (
            self.window is None
            or self.limit < self.consumed + self.window
            or (self.limit == self.total and self.state is not JobState.OPEN)
            or self.next <= self.consumed
            or free >= self.patch
            or free >= self.pace.want
        )

    def cut(self, most: int, shares: int) -> tuple[int, int]:
        """Take the next batch, of at most `most` items, and of what is left at most one part in `shares`."""
        if self.singles:
            self.back -= 1
            index = self.singles.popleft()
            return index, index + 1
        size = self.chunksize
        if size is None:
            size = self.pace.want
            tail = -((self.next - self.total - self.back) // shares)
            if size > tail:
                # Spread what is left, but not into batches that cost more than what they hold.
                least = size // LEAST_PART
                size = tail if tail > least else least or 1
        if size > most:
            size = most
        if self.returned:
            return self._cut_returned(size)
        start = self.next
        stop = start + size
        if stop > self.limit:
            stop = self.limit
        if self.skips:
            if stop > self.skips[0]:
                stop = self.skips[0]
            self.next = stop
            self._pass_skips()
        else:
            self.next = stop
        return start, stop

    def _cut_returned(self, size: int) -> tuple[int, int]:
        span = self.returned[0]
        start, stop = span
        if stop - start > size:
            stop = span[0] = start + size
        else:
            self.returned.popleft()
        self.back -= stop - start
        return start, stop

    def give_back(self, start: int, stop: int) -> None:
        """These items are to be given out again."""
        if start >= stop:
            return
        self.back += stop - start
        last = self.returned[-1] if self.returned else None
        if last is not None and last[1] == start:
            last[1] = stop
        else:
            self.returned.append([start, stop])

    def give_back_singly(self, start: int, stop: int) -> None:
        """These items are to be given out again, each in a batch of its own."""
        self.singles.extend(range(start, stop))
        self.back += max(0, stop - start)

    def drop_queued(self, index: int) -> bool:
        """Take one item out of the queue; False if it is not there."""
        if self.next <= index < self.total:
            if index in self.skipped:
                return False
            self.skip_fresh(index, index + 1)
            return True
        for place in (self.alone, self.waiting):
            if index in place:
                place.remove(index)
                return True
        if index in self.singles:
            self.singles.remove(index)
            self.back -= 1
            return True
        return self._drop_returned(index)

    def _drop_returned(self, index: int) -> bool:
        for place, (start, stop) in enumerate(self.returned):
            if start <= index < stop:
                del self.returned[place]
                for span in ([index + 1, stop], [start, index]):
                    if span[0] < span[1]:
                        self.returned.insert(place, span)
                self.back -= 1
                return True
        return False

    def skip_fresh(self, start: int, stop: int) -> None:
        """These fresh items have been dropped."""
        for index in range(start, stop):
            heappush(self.skips, index)
            self.skipped.add(index)
        self._pass_skips()

    def _pass_skips(self) -> None:
        while self.skips and self.skips[0] == self.next:
            self.skipped.remove(heappop(self.skips))
            self.next += 1

    def close_attempts(self, index: int) -> int:
        """The item has its outcome: how often it was tried."""
        return 1 + self.tries.pop(index, 0) + self.crashes.pop(index, 0)

    def queued_spans(self) -> Iterator[tuple[int, int]]:
        """Every item without outcome that no worker holds, as ranges in no special order."""
        for start, stop in self.returned:
            yield start, stop
        for index in (*self.singles, *sorted(self.waiting), *sorted(self.alone)):
            yield index, index + 1
        start = self.next
        for skip in sorted(self.skips):
            if skip > start:
                yield start, skip
            start = skip + 1
        if start < self.total:
            yield start, self.total

    def clear_queue(self) -> None:
        """Forget every item that no worker holds; the caller has given them their outcome."""
        self.returned.clear()
        self.singles.clear()
        self.back = 0
        self.alone.clear()
        self.waiting.clear()
        self.skips.clear()
        self.skipped.clear()
        self.next = self.limit = self.total
