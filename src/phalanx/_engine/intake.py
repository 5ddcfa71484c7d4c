"""What comes from the launcher and the channels, turned into facts and events. Runs under the engine's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phalanx._base.seams import WorkerEnded, WorkerRefused, WorkerStarted
from phalanx._engine.arrivals import Segment
from phalanx._engine.chores import Define
from phalanx._engine.losses import StartError
from phalanx._engine.recording import record
from phalanx._engine.workers import Worker
from phalanx._policy import Progressed, Undecodable, WorkerExited, WorkerReady, WorkerStartFailed
from phalanx._wire import frames

if TYPE_CHECKING:
    from phalanx._engine.engine import Engine


_OF_BLOCKS = frozenset((frames.BLOCK, frames.RETURNED, frames.FORGET_BLOCK, frames.FORGET_SHARE))


class Intake:
    """Reads for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, ready: list[tuple[int, int]]) -> None:
        """Deal with descriptors that are ready, and with workers of this process, which have none."""
        engine = self._engine
        for descriptor, _ in ready:
            worker = engine.by_descriptor.get(descriptor)
            if worker is None:
                if descriptor == engine.launcher.fileno():
                    self.take_launch_news()
                continue
            if worker.writing:
                engine.performer.flush(worker)
            if worker.channel.fill() is False:
                # The launcher tells of its end; until then its descriptor would be ready for ever.
                engine.poller.forget(descriptor)
            self._messages(worker)
        if engine.in_process:
            for worker in list(engine.workers.values()):
                self._messages(worker)
            self.take_launch_news()

    def take_launch_news(self) -> None:
        """Workers that started, ended or could not be started."""
        launcher = self._engine.launcher
        launcher.collect()
        while launcher.news:
            self._on_launch_news(launcher.news[0])
            launcher.news.popleft()

    def _on_launch_news(self, news: WorkerStarted | WorkerEnded | WorkerRefused) -> None:
        engine = self._engine
        worker = engine.workers.get(news.worker)
        if worker is None:
            return
        engine.finished.append(engine.all_started)  # has whoever waits for that look again
        if isinstance(news, WorkerStarted):
            worker.pid = news.pid
            return
        if isinstance(news, WorkerRefused):
            error = news.error
            engine.start_error = StartError(lambda: error)
            engine.handle(WorkerStartFailed(news.worker))
        else:
            worker.ended = news
            # What it wrote before it died may still be in the channel: to the end, then declare losses.
            while worker.channel.fill():
                pass
            self._messages(worker)
            if not worker.ready and not worker.stopping:
                pages = engine.launcher.setup.pages
                make = engine.performer.deaths.lost_start(worker, pages)
                engine.start_error = StartError(make, list(worker.said))
            engine.handle(WorkerExited(news.worker, worker.current()))
        engine.dismiss(news.worker, worker)

    def _messages(self, worker: Worker) -> None:
        engine, number = self._engine, worker.identity.worker
        messages, token = worker.channel.frames()
        if not messages:
            return
        for kind, body in messages:
            message = engine.packer.read(kind, body)
            if kind == frames.RESULTS:
                if not engine.in_process:
                    engine.tally.bytes_out += len(body)
                self._on_results(worker, message)
            elif kind == frames.READY:
                worker.ready = True
                worker.pid = message
                engine.handle(WorkerReady(number))
            elif kind in _OF_BLOCKS:
                self._on_blocks(worker, kind, message)
            elif kind == frames.NO_BLOCK:
                engine.no_block = message
            elif kind == frames.OUTPUT:
                worker.hear(*message)
                engine.output.append(message)
            elif kind == frames.WANT:
                worker.wants = message
                engine.chores.append(Define(worker))
            elif kind == frames.UNDECODABLE:
                worker.held.pop(message, None)
                engine.handle(Undecodable(number, message))
            else:
                engine.start_error = StartError(message, list(worker.said))
                worker.stopping = True  # it has said why, and leaves
                engine.handle(WorkerStartFailed(number))
        worker.channel.consume(token)
        if worker.opened:
            worker.opened.clear()

    def _on_blocks(self, worker: Worker, kind: int, message: Any) -> None:
        lending = self._engine.packer.lending
        if lending is None:
            return
        if kind == frames.BLOCK:
            lending.learn(worker, *message)
        elif kind == frames.RETURNED:
            lending.take_back(worker, message)
        elif kind == frames.FORGET_SHARE:
            lending.forget_shares(worker, message)
        else:
            lending.forget(worker, message)

    def _on_results(self, worker: Worker, message: frames.ResultsMessage) -> None:
        engine = self._engine
        held = worker.held.get(message.batch)
        if (worker.lends or worker.arrays) and engine.packer.lending is not None:
            engine.packer.lending.open(worker, message)
        if held is None:
            return
        batch = held.batch
        job = engine.jobs.get(batch.job)
        done = message.first + message.count
        if job is not None and message.count:
            if held.apart or job.spec.retries:
                record(engine, worker, held, job, message)
            else:
                start = batch.start + message.first
                segment = Segment(start, start + message.count, message.form, message.body, worker.pid)
                engine.performer.arrived(job, segment)
        held.done = max(held.done, done)
        engine.tally.items += message.count
        if message.ended:
            engine.tally.nanoseconds += message.nanoseconds
            # Before the policy is told, which gives what was handed back to others at once.
            worker.held.pop(message.batch, None)
        engine.handle(
            Progressed(worker.identity.worker, batch.id, held.done, message.nanoseconds / 1e9, message.ended)
        )
