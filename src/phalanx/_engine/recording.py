"""Recording what a worker has sent of a batch: outcomes that stand, and errors that may be tried again.

Runs under the engine's lock. A place of a batch is *apart* when its outcome comes another way (it timed out, or
it failed and the policy decides whether it is tried again); that is stored before the policy is told, so that
whoever rebuilds the state counts the item once. Whatever is sent for a place that is apart already is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phalanx._engine.arrivals import VALUES, Segment
from phalanx._policy import ItemFailed
from phalanx._wire.frames import EACH, ERROR, RETRYABLE

if TYPE_CHECKING:
    from phalanx._engine.engine import Engine
    from phalanx._engine.jobs import Job
    from phalanx._engine.workers import Held, Worker
    from phalanx._wire.frames import ResultsMessage


def record(engine: Engine, worker: Worker, held: Held, job: Job, message: ResultsMessage) -> None:
    """The outcomes in this message, each once."""
    start = held.batch.start + message.first
    segment = Segment(start, start + message.count, message.form, message.body, worker.pid)
    if held.apart:
        for part in _without(engine, segment, {held.batch.start + place for place in held.apart}):
            _record_part(engine, worker, held, job, part)
    else:
        _record_part(engine, worker, held, job, segment)


def _record_part(engine: Engine, worker: Worker, held: Held, job: Job, segment: Segment) -> None:
    failed = []
    if job.spec.retries and segment.form == EACH:
        pieces = enumerate(segment.body, segment.start)
        failed = [(index, data) for index, (tag, data) in pieces if tag == RETRYABLE]
    if not failed:
        engine.performer.arrived(job, segment)
        return
    for part in _without(engine, segment, {index for index, _ in failed}):
        engine.performer.arrived(job, part)
    for index, data in failed:
        held.set_apart(index - held.batch.start)
        error = Segment(index, index + 1, EACH, [(ERROR, data)], worker.pid)
        job.failed[index] = error
        engine.handle(ItemFailed(job.number, index, True, worker.identity.worker))
        if job.failed.get(index) is error:
            engine.tally.retried += 1
            del job.failed[index]  # it is tried again


def _without(engine: Engine, segment: Segment, indices: set[int]) -> list[Segment]:
    """The segment in pieces, less these items."""
    start, form = segment.start, segment.form
    if not indices.intersection(range(start, segment.stop)):
        return [segment]
    # Plain values are pickled as one: to rebuild them runs nobody's code.
    body = segment.body
    if form != EACH:
        form, body = VALUES, engine.packer.values(segment)
    parts = []
    for stop in (*sorted(index for index in indices if start <= index < segment.stop), segment.stop):
        if start < stop:
            piece = body[start - segment.start : stop - segment.start]
            parts.append(Segment(start, stop, form, piece, segment.pid))
        start = stop + 1
    return parts
