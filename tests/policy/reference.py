"""A reference model: what an engine and its workers do, item by item, and what must be true of every command.

The policy keeps ranges and counts. The model keeps one state per item and walks the table of legal moves, so that
an item that is lost, sent twice or ended twice is an illegal move at the moment when it happens. It works out for
itself who is to blame for a death, and what may be dropped, and compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from phalanx._policy import (
    Allow,
    Batch,
    CancelAsked,
    CloseAsked,
    Command,
    Config,
    DropItems,
    DumpStack,
    Event,
    FailJob,
    FinishJob,
    ItemFailed,
    JobCancelled,
    JobConsumed,
    JobFacts,
    JobGrew,
    JobOpened,
    JobSealed,
    JobSpec,
    KillWorker,
    LimitItem,
    Look,
    LoseItem,
    Mode,
    Progressed,
    Resized,
    Scheduler,
    SendBatch,
    SettleItem,
    StartWorker,
    StopWorker,
    TakeBack,
    Tick,
    TimeOutItem,
    TookBack,
    Undecodable,
    WarnOfMemory,
    WorkerExited,
    WorkerFacts,
    WorkerReady,
    WorkerSeen,
    WorkerStartFailed,
    WorkerState,
)
from phalanx._policy.jobs import ITEM_MOVES, ItemMove, ItemState

Item = tuple[int, int]
ENDS = {state for state in ItemState if not any(start is state for start, _ in ITEM_MOVES)}


@dataclass
class ModelJob:
    spec: JobSpec
    total: int
    is_sealed: bool
    consumed: int = 0
    is_cancelled: bool = False
    kills: bool = False
    is_finished: bool = False
    allowed: int | None = None


@dataclass
class ModelBatch:
    batch: Batch
    places: list[Item | None]  # None: its outcome came another way, or it is somebody else's now
    finished: int = 0
    reported: int = 0
    end: int = 0

    def left(self) -> list[Item]:
        return [item for item in self.places[self.reported : self.end] if item is not None]


@dataclass
class ModelWorker:
    id: int
    slot: int
    state: WorkerState = WorkerState.STARTING
    held: list[ModelBatch] = field(default_factory=list)
    next_seq: int = 0
    limit: int | None = None
    current: int | None = None
    is_running: bool = False
    began: float = 0.0
    tasks: int = 0
    rss: int = 0
    questioned: int | None = None

    def front(self) -> ModelBatch | None:
        """The batch in which the next item is, or runs."""
        for held in self.held:
            if held.finished < held.end:
                return held
        return None


class Reference:
    """Engine and workers in one. Every `do_…` is something that may happen; asserts that it has its right answer."""

    def __init__(self, config: Config, make: Callable[[Config], Scheduler] = Scheduler) -> None:
        self.config = config
        self.make = make
        self.scheduler = make(config)
        self.now = 0.0
        self.items: dict[Item, ItemState] = {}
        self.jobs: dict[int, ModelJob] = {}
        self.workers: dict[int, ModelWorker] = {}
        self.gone: list[int] = []
        self.asked: set[Item] = set()  # somebody asked to cancel these
        self.suspects: set[Item] = set()  # these must go alone
        self.crashes: Counter[Item] = Counter()
        self.tries: Counter[Item] = Counter()
        self.mode: Mode | None = None
        self.expected_loss: Item | None = None
        self.failed: Item | None = None
        self.free = 1000
        self.doomed: set[Item] = set()  # to be stopped even if they have begun
        self.batch_ids: set[int] = set()
        self.worker_ids: set[int] = set()
        self.told: list[Event] = []
        self.starts = 0
        self.strike_after: int | None = None  # an exception strikes after so many commands

    # -- telling and performing --

    def tell(self, event: Event) -> None:
        self.told.append(event)
        commands = self.scheduler.handle(event, self.now)
        strike, self.strike_after = self.strike_after, None
        if strike is None:
            self.perform(commands)
        else:
            self.perform(commands[:strike])
            self.do_rebuild()

    def perform(self, commands: list[Command]) -> None:
        for command in commands:
            PERFORM[type(command)](self, command)

    def move(self, item: Item, move: ItemMove) -> None:
        state = ITEM_MOVES.get((self.items[item], move))
        assert state is not None, f"item {item} is {self.items[item].name}: cannot {move.value}"
        self.items[item] = state

    def send(self, command: SendBatch) -> None:
        worker, batch = self.workers[command.worker], command.batch
        job = self.jobs[batch.job]
        assert worker.state in (WorkerState.READY, WorkerState.RETIRING), worker
        assert batch.id not in self.batch_ids, "a batch number came twice"
        self.batch_ids.add(batch.id)
        assert 0 <= batch.start < batch.stop <= job.total
        assert batch.seq == worker.next_seq, (batch, worker)
        assert len(worker.held) < self.config.prefetch
        items = [(batch.job, index) for index in range(batch.start, batch.stop)]
        assert not any(item in self.suspects for held in worker.held for item in held.left()), "company"
        if any(item in self.suspects for item in items):
            assert len(items) == 1, "a suspect must be alone"
            assert not worker.held, "a suspect must be alone"
        if job.spec.window is not None:
            assert batch.stop <= job.consumed + job.spec.window
        if job.spec.chunksize is not None:
            assert len(items) <= job.spec.chunksize
        for item in items:
            self.move(item, ItemMove.SEND)
        if worker.limit is not None:
            assert not worker.held, "limited, and got work"
            worker.limit = None
        worker.next_seq = batch.seq + len(items)
        worker.tasks += -(-len(items) // job.spec.task_size)
        most = self.config.max_tasks_per_child
        assert most is None or worker.tasks <= most
        busy = [other.slot for other in self.workers.values() if other.held and other is not worker]
        assert worker.slot not in busy or worker.held, "two workers of one slot at work"
        worker.held.append(ModelBatch(batch, list(items), end=len(items)))

    def take_back(self, command: TakeBack) -> None:
        worker = self.workers[command.worker]
        claimed = 0 if worker.current is None else worker.current + 1
        seq = max(command.seq, claimed)
        worker.limit = seq if worker.limit is None else min(seq, worker.limit)
        for held in worker.held:
            end = max(held.finished, min(held.end, seq - held.batch.seq))
            for item in held.places[end : held.end]:
                if item is not None and self.items[item] not in ENDS:
                    self.move(item, ItemMove.RETURN)
            per_task = self.jobs[held.batch.job].spec.task_size
            worker.tasks += -(-end // per_task) + (
                -held.end // per_task
            )  # what it will not run does not count
            held.end = end
        if all(held.end == len(held.places) for held in worker.held):
            worker.limit = None  # nothing gained: the engine lifts it with the next batch
        self.tell(TookBack(worker.id, seq))

    def look(self, command: Look) -> None:
        worker = self.workers[command.worker]
        seq = worker.current if worker.is_running else None
        rss = worker.rss if self.config.limits_memory else None
        free = self.free if self.config.limits_memory else None
        self.tell(WorkerSeen(worker.id, seq, worker.began, rss, free))

    def dump(self, command: DumpStack) -> None:
        worker = self.workers[command.worker]
        assert worker.is_running
        worker.questioned = worker.current

    def warn(self, command: WarnOfMemory) -> None:
        assert command.free == self.free < self.config.memory_floor

    def start(self, command: StartWorker) -> None:
        assert command.worker not in self.worker_ids, "a worker number came twice"
        assert 0 <= command.slot < self.config.size
        if self.mode is not None:
            assert not all(job.is_finished for job in self.jobs.values()), (
                "a closed pool starts a worker for nobody"
            )
        self.worker_ids.add(command.worker)
        self.starts += 1
        self.workers[command.worker] = ModelWorker(command.worker, command.slot)

    def stop(self, command: StopWorker) -> None:
        worker = self.workers[command.worker]
        assert not worker.held, "told to stop while it holds work"
        assert worker.state in (WorkerState.STARTING, WorkerState.READY)
        worker.state = WorkerState.STOPPING

    def kill(self, command: KillWorker) -> None:
        worker = self.workers[command.worker]
        assert worker.state is not WorkerState.DYING
        worker.state = WorkerState.DYING

    def lose(self, command: LoseItem) -> None:
        item = (command.job, command.index)
        assert item == self.expected_loss, f"{item} was blamed, not {self.expected_loss}"
        self.expected_loss = None
        self.move(item, ItemMove.LOSE)

    def time_out(self, command: TimeOutItem) -> None:
        worker = self.workers[command.worker]
        held = worker.front()
        assert held is not None
        assert worker.is_running
        item = (command.job, command.index)
        timeout = self.jobs[command.job].spec.timeout
        assert held.places[held.finished] == item
        assert timeout is not None
        assert self.now - worker.began >= timeout - 1e-9
        assert worker.questioned == worker.current, "killed without having been asked where it is"
        self.move(item, ItemMove.TIME_OUT)
        held.places[held.finished] = None

    def limit(self, command: LimitItem) -> None:
        worker = self.workers[command.worker]
        held = worker.front()
        assert held is not None
        assert worker.is_running
        assert self.config.memory_limit is not None
        assert command.rss == worker.rss > self.config.memory_limit
        assert held.places[held.finished] == (command.job, command.index)
        self.move((command.job, command.index), ItemMove.LIMIT)
        held.places[held.finished] = None

    def settle(self, command: SettleItem) -> None:
        item = (command.job, command.index)
        assert item == self.failed
        self.failed = None
        self.move(item, ItemMove.ARRIVE)

    def drop(self, command: DropItems) -> None:
        job = self.jobs[command.job]
        assert command.start < command.stop
        for index in range(command.start, command.stop):
            item = (command.job, index)
            assert job.is_cancelled or item in self.asked or self.mode is Mode.TERMINATE, "nobody asked"
            if self.items[item] is ItemState.SENT:
                assert self.mode is Mode.TERMINATE, "dropped while a worker has it"
            self.move(item, ItemMove.DROP)

    def finish(self, command: FinishJob) -> None:
        job = self.jobs[command.job]
        assert not job.is_finished, "finished twice"
        assert job.is_sealed or job.is_cancelled or self.mode is Mode.TERMINATE
        left = [index for index in range(job.total) if self.items[command.job, index] not in ENDS]
        assert not left, f"finished without {left}"
        job.is_finished = True

    def fail(self, command: FailJob) -> None:
        job = self.jobs[command.job]
        left = [index for index in range(job.total) if self.items[command.job, index] not in ENDS]
        assert left, "a job without outstanding items failed"
        for index in left:
            self.move((command.job, index), ItemMove.FAIL)

    def allow(self, command: Allow) -> None:
        self.jobs[command.job].allowed = command.upto

    # -- jobs --

    def do_open(self, spec: JobSpec) -> None:
        self.jobs[spec.job] = ModelJob(spec, spec.total, spec.sealed)
        self.items.update({(spec.job, index): ItemState.QUEUED for index in range(spec.total)})
        self.tell(JobOpened(spec))

    def do_grow(self, number: int, by: int) -> None:
        job = self.jobs[number]
        if job.is_sealed or job.is_cancelled or job.is_finished:
            return
        if job.allowed is not None:
            by = min(by, job.allowed - job.total)
        for index in range(job.total, job.total + by):
            self.items[number, index] = ItemState.QUEUED
        job.total = max(job.total, job.total + by)
        self.tell(JobGrew(number, job.total))

    def do_seal(self, number: int) -> None:
        self.jobs[number].is_sealed = True
        self.tell(JobSealed(number))

    def do_consume(self, number: int) -> None:
        """The caller takes everything that is there, in order."""
        job = self.jobs[number]
        while job.consumed < job.total and self.items[number, job.consumed] in ENDS:
            job.consumed += 1
        self.tell(JobConsumed(number, job.consumed))

    def do_cancel_job(self, number: int, kill: bool) -> None:
        job = self.jobs[number]
        job.is_cancelled = True
        job.kills = job.kills or kill
        self.tell(JobCancelled(number, kill))
        if not job.is_finished:
            queued = [
                item for item, state in self.items.items() if item[0] == number and state is ItemState.QUEUED
            ]
            assert not queued, f"cancelled, and {queued} still wait"

    def do_cancel_item(self, item: Item, kill: bool) -> None:
        begun = self.has_begun(item)
        is_struck = self.strike_after is not None
        job = self.jobs[item[0]]
        self.asked.add(item)
        runner = next((worker for worker in self.workers.values() if self.runs(worker, item)), None)
        self.tell(CancelAsked(*item, kill))
        if not begun and not job.is_cancelled and not is_struck:
            assert self.items[item] in ENDS, f"{item} had not begun and could not be cancelled"
        if kill and runner is not None and not is_struck:
            assert runner.state is WorkerState.DYING, f"{item} runs on"

    def runs(self, worker: ModelWorker, item: Item) -> bool:
        """The worker is at this item."""
        held = worker.front()
        return worker.is_running and held is not None and held.places[held.finished] == item

    def do_weigh(self, worker: ModelWorker, rss: int, free: int) -> None:
        """Somebody grows or shrinks, and is seen."""
        worker.rss, self.free = rss, free
        self.look(Look(worker.id))

    def has_begun(self, item: Item) -> bool:
        """Some worker has begun it, or is being killed with it."""
        for worker in self.workers.values():
            for held in worker.held:
                if item in held.left():
                    seq = held.batch.seq + held.places.index(item)
                    begun = worker.current is not None and seq <= worker.current
                    return begun or worker.state is WorkerState.DYING
        return False

    # -- workers --

    def do_ready(self, worker: ModelWorker) -> None:
        if worker.state is WorkerState.STARTING:
            worker.state = WorkerState.READY
        self.tell(WorkerReady(worker.id))

    def do_fail_start(self, worker: ModelWorker) -> None:
        del self.workers[worker.id]
        self.gone.append(worker.id)
        self.tell(WorkerStartFailed(worker.id))

    def do_begin(self, worker: ModelWorker) -> None:
        held = worker.front()
        if held is None or worker.is_running or worker.state is WorkerState.STARTING:
            return
        worker.current = held.batch.seq + held.finished
        worker.is_running = True
        worker.began = self.now

    def do_finish(self, worker: ModelWorker) -> None:
        held = worker.front()
        if held is not None and worker.is_running:
            worker.is_running = False
            held.finished += 1

    def do_report(self, worker: ModelWorker) -> None:
        """Everything finished so far goes to the parent."""
        for held in list(worker.held):
            ended = held.finished == held.end
            for item in held.places[held.reported : held.finished]:
                if item is not None and self.items[item] is ItemState.SENT:
                    self.move(item, ItemMove.ARRIVE)
                    self.suspects.discard(item)
            held.reported = held.finished
            if ended:
                worker.held.remove(held)
            self.tell(Progressed(worker.id, held.batch.id, held.reported, 0.001 * held.reported, ended))
            if not ended:
                return

    def do_fail_item(self, worker: ModelWorker, retryable: bool) -> None:
        """The running item raises: that is told first, then that it is over."""
        held = worker.front()
        if held is None or not worker.is_running:
            return
        self.do_report(worker)
        item = held.places[held.finished]
        worker.is_running = False
        place = held.finished
        held.finished += 1
        if item is None or self.items[item] is not ItemState.SENT:
            return
        held.places[place] = None
        job = self.jobs[item[0]]
        if retryable and self.tries[item] < job.spec.retries and not job.is_cancelled:
            self.tries[item] += 1
            self.move(item, ItemMove.RETURN)
            self.tell(ItemFailed(*item, True, worker.id))
        else:
            self.failed = item
            self.tell(ItemFailed(*item, retryable))
            assert self.failed is None, "the error was not settled"
        self.suspects.discard(item)

    def do_garble(self, worker: ModelWorker) -> None:
        """The batch at the front cannot be decoded."""
        held = worker.front()
        if held is None or worker.is_running or held.finished or len(held.places) == 1:
            return
        if held is not worker.held[0]:
            return
        worker.held.remove(held)
        for item in held.left():
            if self.items[item] is ItemState.SENT:
                self.move(item, ItemMove.RETURN)
        self.tell(Undecodable(worker.id, held.batch.id))

    def do_die(self, worker: ModelWorker) -> None:
        """The process ends; its channel has been drained (or what it had finished last is lost)."""
        del self.workers[worker.id]
        self.gone.append(worker.id)
        guilty = self.judge(worker)
        for held in worker.held:
            for item in held.left():
                if item != guilty and self.items[item] is ItemState.SENT:
                    self.move(item, ItemMove.RETURN)
        if guilty is not None:
            job = self.jobs[guilty[0]]
            if self.crashes[guilty] < job.spec.crash_retries and not job.is_cancelled:
                self.crashes[guilty] += 1
                self.suspects.add(guilty)
                self.move(guilty, ItemMove.RETURN)
            else:
                self.expected_loss = guilty
        self.tell(WorkerExited(worker.id, worker.current))
        assert self.expected_loss is None, f"{self.expected_loss} got away with it"

    def judge(self, worker: ModelWorker) -> Item | None:
        """Who is guilty; suspects are noted."""
        if worker.state is WorkerState.DYING:
            return None
        for held in worker.held:
            place = -1 if worker.current is None else worker.current - held.batch.seq
            if held.reported <= place < held.end:
                item = held.places[place]
                return item if item is not None and self.items[item] is ItemState.SENT else None
        for held in worker.held:
            left = [item for item in held.left() if self.items[item] is ItemState.SENT]
            if left:
                if left[0] in self.suspects:
                    return left[0]
                if not self.jobs[left[0][0]].is_cancelled:
                    self.suspects.update(left)
                return None
        return None

    # -- the pool --

    def do_pass_time(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(1000):
            deadline = self.scheduler.next_deadline()
            if deadline is None or deadline > self.now:
                return
            self.tell(Tick())
        raise AssertionError("a deadline that never passes")

    def do_close(self, mode: Mode) -> None:
        order = [None, *Mode]
        if order.index(mode) > order.index(self.mode):
            self.mode = mode
            if mode is Mode.CANCEL_QUEUED:
                for job in self.jobs.values():
                    job.is_cancelled = job.is_cancelled or not job.is_finished
        self.tell(CloseAsked(mode))

    def do_resize(self, size: int) -> None:
        self.config = replace(self.config, size=size)
        self.tell(Resized(size))

    def do_repeat(self, back: int) -> None:
        """Say again what was said before, if it is of the kind that may be repeated."""
        event = self.told[-1 - back % len(self.told)]
        if isinstance(event, Progressed | WorkerExited | TookBack | JobCancelled | WorkerReady | Undecodable):
            self.tell(event)

    def do_rebuild(self) -> None:
        """Lose the scheduler and make another from what the engine knows."""
        for item in (self.expected_loss, self.failed):
            if item is not None:  # struck before the command came: the engine knows only that it is missing
                self.move(item, ItemMove.RETURN)
        self.expected_loss = self.failed = None
        scheduler, commands = self.make.rebuild(  # type: ignore[attr-defined]
            self.config,
            [self.job_facts(job) for job in self.jobs.values() if not job.is_finished],
            [self.worker_facts(worker) for worker in self.workers.values()],
            self.now,
            mode=self.mode,
            next_batch=max(self.batch_ids, default=-1) + 1,
            next_worker=max(self.worker_ids, default=-1) + 1,
        )
        self.scheduler = scheduler
        self.perform(commands)

    def job_facts(self, job: ModelJob) -> JobFacts:
        number = job.spec.job
        mine = [(index, self.items[number, index]) for index in range(job.total)]
        spec = JobSpec(**{name: getattr(job.spec, name) for name in JobSpec.__slots__})
        spec.total = job.total
        spec.sealed = job.is_sealed
        return JobFacts(
            spec,
            job.consumed,
            [(index, index + 1) for index, state in mine if state is ItemState.QUEUED],
            job.is_cancelled,
            job.kills,
            {index: n for (owner, index), n in self.tries.items() if owner == number},
            {index: n for (owner, index), n in self.crashes.items() if owner == number},
            [index for index, state in mine if (number, index) in self.suspects and state not in ENDS],
        )

    def worker_facts(self, worker: ModelWorker) -> WorkerFacts:
        held = []
        apart = {}
        for one in worker.held:
            batch = one.batch
            held.append(
                (Batch(batch.id, batch.job, batch.start, batch.start + one.end, batch.seq), one.reported)
            )
            apart[batch.id] = [
                place
                for place, item in enumerate(one.places[: one.end])
                if item is None or (place >= one.reported and self.items[item] is not ItemState.SENT)
            ]
        limited = worker.limit is not None
        return WorkerFacts(
            worker.id, worker.slot, worker.state, held, worker.tasks, worker.next_seq, limited, apart
        )

    # -- to the end --

    def run_out(self) -> None:
        """Let everything end well; then nothing may be left."""
        for number, job in self.jobs.items():
            if not job.is_sealed and not job.is_cancelled:
                self.do_seal(number)
        for _ in range(10_000):
            if all(job.is_finished for job in self.jobs.values()):
                break
            self.one_round()
        left = {item: state.name for item, state in self.items.items() if state not in ENDS}
        assert not left, f"never ended: {left}"
        assert all(job.is_finished for job in self.jobs.values())

    def one_round(self) -> None:
        for number in list(self.jobs):
            self.do_consume(number)
        for worker in list(self.workers.values()):
            if worker.state is WorkerState.STARTING:
                self.do_ready(worker)
            elif worker.state in (WorkerState.STOPPING, WorkerState.DYING):
                self.do_die(worker)
            else:
                self.do_begin(worker)
                self.do_finish(worker)
                self.do_report(worker)
        self.do_pass_time(0.01)
        self.scheduler.validate()


PERFORM: dict[type, Callable[[Reference, Command], None]] = {
    SendBatch: Reference.send,
    TakeBack: Reference.take_back,
    Look: Reference.look,
    DumpStack: Reference.dump,
    WarnOfMemory: Reference.warn,
    StartWorker: Reference.start,
    StopWorker: Reference.stop,
    KillWorker: Reference.kill,
    LoseItem: Reference.lose,
    TimeOutItem: Reference.time_out,
    LimitItem: Reference.limit,
    SettleItem: Reference.settle,
    DropItems: Reference.drop,
    FinishJob: Reference.finish,
    FailJob: Reference.fail,
    Allow: Reference.allow,
}
