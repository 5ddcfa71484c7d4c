"""Maps: what all calls over many items have in common, and collecting all results of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

from phalanx._api.failures import COLLECT, RAISE, add_partial_results, as_record, is_the_items_own
from phalanx._api.session import Session
from phalanx._base.options import Options
from phalanx._engine.arrivals import VALUES, Segment
from phalanx._engine.jobs import Job
from phalanx._engine.packing import FAILURES, Outcome, Packer
from phalanx._engine.waiting import Waitable
from phalanx._observe.progress import ProgressDisplay
from phalanx._wire.frames import EACH, SINGLE, STAR, WHOLE

# Seconds between two looks at how far a map has come, while its progress is shown.
_SHOW_EVERY = 0.1
LAZY = (range, list, tuple)


def as_items(iterables: tuple[Iterable[Any], ...]) -> tuple[int, Iterable[Any]]:
    """How items are handed to the function, and the items: `fn(*one_from_each_iterable)`."""
    if len(iterables) == 1:
        return SINGLE, iterables[0]
    return STAR, zip(*iterables, strict=False)


def as_sequence(items: Iterable[Any], copy: bool = False) -> Sequence[Any]:
    """Something to slice. A range, list or tuple is itself unless a call that returns early asks for a copy."""
    if type(items) in LAZY and not (copy and type(items) is list):
        return items  # type: ignore[return-value]
    return list(items)


def collect(job: Job, packer: Packer, on_error: str = RAISE) -> Outcome:
    """All results in input order, or the error of the first item that failed.

    `on_error` may ask for a record in its place, or for nothing. What has come stays with the job: after an
    interrupt it can be collected again.
    """
    results: list[Any] = []
    parts = job.arrivals.parts
    for start in sorted(parts):
        segment = parts[start]
        if segment.form == VALUES or segment.form == WHOLE:
            results.extend(packer.values(segment))
            continue
        for index, (succeeded, value) in enumerate(packer.outcomes(segment), start):
            if succeeded:
                results.append(value)
            elif on_error == RAISE or not is_the_items_own(value):
                add_partial_results(value, job, packer)
                return False, value
            elif on_error == COLLECT:
                results.append(as_record(job, index, value))
    return True, results


def has_error(segment: Segment) -> bool:
    """Whether one of the outcomes is an error."""
    if callable(segment.body):
        return True
    return segment.form == EACH and any(tag in FAILURES for tag, _ in segment.body)


def map_all(
    session: Session,
    fn: Callable[..., Any],
    style: int,
    items: Sequence[Any],
    *,
    chunksize: int | None = None,
    task_size: int = 1,
    fail_fast: bool = False,
    options: Options,
) -> list[Any]:
    """Run a map to its end in the calling thread. `fail_fast`: an item that fails ends it, if it is to raise."""
    failed = Failure()
    fail_fast = fail_fast and options.on_error == RAISE

    def note(job: Job, segment: Segment) -> None:
        if segment.form == WHOLE:
            # While workers go on; together at the end they would all wait for it.
            job.arrivals.replace(segment, VALUES, session.packer.values(segment))
        elif fail_fast:
            failed.note(segment)

    def prepare(job: Job) -> None:
        job.on_news = lambda segment: note(job, segment)

    job = session.open_job(
        fn,
        session.source(items),
        style,
        total=len(items),
        sealed=True,
        chunksize=chunksize,
        task_size=task_size,
        prepare=prepare,
        options=options,
    )
    failed.job = job
    try:
        wait_showing(session, failed if fail_fast else job, job, options)
        succeeded, outcome = collect(job, session.packer, options.on_error)
        if not succeeded:
            raise outcome
        results: list[Any] = outcome
        return results
    except BaseException:
        if not job.is_done:
            session.cancel_job(job, kill=True)
        raise
    finally:
        # In circles, what has come would stay in memory until the garbage collector comes by.
        failed.job = None
        job.on_news = _take_no_notice


def _take_no_notice(segment: Segment) -> None:
    pass


class Failure(Waitable):
    """Done when the job is, or as soon as one item has failed."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._failed = False

    @property
    def is_done(self) -> bool:
        return self._failed or (self.job is not None and self.job.is_done)

    def note(self, segment: Segment) -> None:
        """News of the job."""
        if has_error(segment):
            self._failed = True
            self.wake_sleepers()


def wait_showing(
    session: Session, thing: Waitable, job: Job, options: Options, timeout: float | None = None
) -> bool:
    """Wait, and show how far the job has come. Returns whether `thing` is done."""
    if not options.progress:
        return session.wait_for(thing, timeout)
    until = None if timeout is None else monotonic() + timeout
    with ProgressDisplay.open(options.progress, job.total, options.name) as display:
        while not session.wait_for(thing, _SHOW_EVERY):
            display.update(job.arrived())
            if until is not None and monotonic() >= until:
                break
        display.update(job.arrived())
    return thing.is_done
