"""Streams: results one by one, inputs and results never more than a window apart."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, Self, TypeVar

from phalanx._api import exiting
from phalanx._api.failures import COLLECT, RAISE, as_record, is_the_items_own
from phalanx._api.feeding import Feeder
from phalanx._api.maps import LAZY, as_sequence
from phalanx._api.session import ALL_ITEMS, Session
from phalanx._base.options import Options
from phalanx._engine.arrivals import LOCAL, Segment
from phalanx._engine.jobs import Job, WindowSource
from phalanx._engine.waiting import Waitable
from phalanx._observe.progress import ProgressDisplay
from phalanx._policy import Mode
from phalanx._wire.frames import WHOLE

T = TypeVar("T")

# The window that nobody chose: a few items per worker, and wider for items so short that workers would
# otherwise wait for the consumer's every step.
_WINDOW_PER_WORKER = 4
_WIDEST_PER_WORKER = 1024
# A consumer that waited for less than this, with the whole window given out, has found it too narrow (seconds).
_SHORT_WAIT = 0.002
_NOTHING = object()


class Stream(Waitable, Iterator[T]):
    """Results of a job as they come: in input order, or as soon as they are there.

    An item's exception is raised in its place; the stream can be read on after it.

    So can it after an interrupt, which must not cost a result: a result leaves the stream by `del` and `return`,
    between which nothing can strike, and a segment is finished by steps that may be taken again.
    """

    _ended = True
    _job: Job | None = None

    def __init__(
        self, session: Session, options: Options, *, ordered: bool, cancels: bool, owns: bool = False
    ) -> None:
        """`cancels`: leaving the stream cancels what has not started. `owns`: it also ends the session."""
        self._session = session
        self._options = options
        self._ordered = ordered
        self._cancels = cancels
        self._collects = options.on_error != RAISE
        self._owns = owns
        self._ended = False
        self._feeder: Feeder | None = None
        self._fresh: deque[Segment] = deque()
        self._segment: Segment | None = None
        self._values: deque[Any] = deque()  # of the segment, as they are
        self._pieces: deque[Any] = deque()  # of the segment, still to be rebuilt
        self._consumed = self._told = 0
        self._window: int | None = None
        self._widest = 0
        self._display: ProgressDisplay | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def open(
        self,
        fn: Callable[..., Any],
        style: int,
        items: Iterable[Any],
        *,
        chunksize: int | None,
        window: int | None,
        task_size: int = 1,
        group: int | None = None,
        bounded: bool = True,
    ) -> None:
        """Start the job."""
        size = self._session.engine.size
        if bounded and window is None:
            window = max(_WINDOW_PER_WORKER * size, 2 * size * (chunksize or 1))
            self._widest = max(window, _WIDEST_PER_WORKER * size)
        self._window = window
        source: Any
        if type(items) in LAZY:
            sequence = as_sequence(items, copy=True)
            source, total, sealed = self._session.source(sequence), len(sequence), True
        else:
            source, total, sealed = WindowSource(), 0, False
            self._feeder = Feeder(self._session, items, source, group)
        if self._options.progress:
            self._display = ProgressDisplay.open(
                self._options.progress, total if sealed else None, self._options.name
            )
        try:
            job = self._session.open_job(
                fn,
                source,
                style,
                total=total,
                sealed=sealed,
                chunksize=chunksize,
                window=window,
                task_size=task_size,
                prepare=self._prepare,
                options=self._options,
            )
            if self._feeder is not None:
                self._feeder.start(job)
        except BaseException:
            self.close()
            raise

    def _prepare(self, job: Job) -> None:
        self._job = job
        # Weakly: the engine must not keep a stream alive that its user has dropped.
        me = weakref.ref(self)
        job.on_news = lambda segment: _note(me(), segment)
        feeder = self._feeder
        self._finalizer = weakref.finalize(
            self, _abandon, self._session, job, feeder, self._cancels, self._owns
        )
        self._finalizer.atexit = False
        job.on_finished = lambda: _finished(me(), feeder)
        if feeder is not None:
            job.on_allowed = feeder.allow
            if self._cancels:
                job.on_closing = lambda: feeder.stop(_closed_early())

    # -- consuming ------------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether there is something to take, or the end."""
        job = self._job
        return (
            job is None
            or job.is_done
            or bool(self._fresh)
            or (self._ordered and job.arrivals.base in job.arrivals.parts)
        )

    def __iter__(self) -> Self:
        return self

    def next(self, timeout: float | None = None) -> T:
        """The next result; waits at most `timeout` seconds.

        Raises `TimeoutError` when it has not come by then, and what the item raised.
        """
        while True:
            if self._values:
                value: T = self._values[0]
                del self._values[0]
                return value
            if self._pieces:
                succeeded, outcome = self._rebuild(self._pieces[0])
                if not succeeded and self._collects and is_the_items_own(outcome):
                    outcome, succeeded = self._instead(outcome), True
                del self._pieces[0]
                if not succeeded:
                    raise outcome
                if outcome is not _NOTHING:
                    return outcome  # type: ignore[no-any-return]
                continue
            self._finish_segment()
            if self._ended:
                raise StopIteration
            if not self.is_done:
                self._wait(timeout)
            self._begin_segment()

    __next__ = next

    def _wait(self, timeout: float | None) -> None:
        began = monotonic()
        if not self._session.wait_for(self, timeout):
            raise self._timed_out()
        window, job = self._window, self._job
        if window is None or job is None or window >= self._widest:
            return
        if monotonic() - began < _SHORT_WAIT and job.total >= self._consumed + window:
            self._window = min(2 * window, self._widest)
            self._session.consume(job, self._consumed, self._window)

    def _timed_out(self) -> BaseException:
        return TimeoutError("the next result has not come in time")

    def _rebuild(self, piece: Any) -> tuple[bool, Any]:
        segment = self._segment
        if segment is not None and segment.form == LOCAL:
            return False, segment.body(piece)
        return self._session.packer.outcome(*piece)

    def _instead(self, error: BaseException) -> Any:
        """What stands for the item that failed, whose outcome is first in line."""
        job, segment = self._job, self._segment
        if self._options.on_error != COLLECT or job is None or segment is None:
            return _NOTHING
        return as_record(job, segment.stop - len(self._pieces), error)

    def _begin_segment(self) -> None:
        job, segment = self._job, None
        if job is None:
            return
        if self._ordered:
            segment = job.arrivals.parts.get(job.arrivals.base)
        else:
            while self._fresh and self._fresh[0].taken:
                self._fresh.popleft()
            segment = self._fresh[0] if self._fresh else None
        if segment is None or segment.taken:
            self._end_if_done(job)
            return
        values: deque[Any] = deque()
        pieces: deque[Any] = deque()
        if segment.form == WHOLE:
            values.extend(self._session.packer.values(segment))
        else:
            pieces.extend(range(segment.start, segment.stop) if segment.form == LOCAL else segment.body)
        self._segment, self._values, self._pieces = segment, values, pieces
        if segment.form != LOCAL:
            # Results go one by one, and nothing keeps what was taken: the list is the message's own, which a
            # worker in this process may still hold.
            if type(segment.body) is list:
                segment.body.clear()
            segment.body = ()

    def _end_if_done(self, job: Job) -> None:
        if not job.is_done:
            return
        # A job is done before its last news is delivered: what has come may not have been noted yet.
        rest = [part for part in list(job.arrivals.parts.values()) if not part.taken]
        if not rest:
            self._end()
        elif not self._ordered:
            self._fresh.extend(rest)

    def _finish_segment(self) -> None:
        segment, job = self._segment, self._job
        if job is None:
            return
        if segment is not None:
            job.arrivals.take(segment)
            job.source.release(job.arrivals.base)
            self._consumed += segment.stop - segment.start
            self._segment = None
        if self._told < self._consumed:
            self._session.consume(job, self._consumed)
            self._told = self._consumed
            if self._display is not None:
                self._display.update(self._consumed)

    def _end(self) -> None:
        """Everything has come. An error of the input comes last."""
        self._close_display()
        if self._owns:
            self._session.close(Mode.DRAIN)
            self._session.join()
        feeder = self._feeder
        self._ended = True
        if self._finalizer is not None:
            self._finalizer.detach()
        if feeder is not None and feeder.error is not None:
            error, feeder.error = feeder.error, None
            raise error

    def close(self) -> None:
        """Take no more: what has not started is cancelled. Idempotent."""
        if self._ended or self._job is None:
            return
        for held in (self._values, self._pieces, self._fresh):
            held.clear()
        self._close_display()
        if self._feeder is not None:
            self._feeder.stop()
        self._session.cancel_job(self._job, kill=self._owns)
        if self._owns:
            self._session.close(Mode.TERMINATE)
            self._session.join()
        self._ended = True
        if self._finalizer is not None:
            self._finalizer.detach()

    def _close_display(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None


def _abandon(session: Session, job: Job, feeder: Feeder | None, cancels: bool, owns: bool) -> None:
    """A stream was dropped. Not its `__del__`: a collection may have taken the session apart by then."""
    if exiting.has_begun() or session.foreign:
        return
    if not cancels:
        # Everything still runs, as nobody will come to move the window.
        session.consume(job, ALL_ITEMS)
        return
    if feeder is not None:
        feeder.stop()
    session.cancel_job(job, kill=owns)
    if owns:
        session.abandon(Mode.TERMINATE)


def _note(stream: Stream[Any] | None, segment: Segment) -> None:
    """News for a stream that may have been dropped."""
    if stream is None:
        return
    if not segment.taken and not stream._ordered:
        stream._fresh.append(segment)
    stream.wake_sleepers()


def _finished(stream: Stream[Any] | None, feeder: Feeder | None) -> None:
    """The job has ended, be it because the pool was terminated while there is more to read."""
    if feeder is not None:
        feeder.stop()
    if stream is not None:
        stream.wake_sleepers()


def _closed_early() -> BaseException:
    from phalanx._base.errors import PoolClosed

    return PoolClosed("the executor was shut down before the stream's input was read to its end")
