"""The driver's seat: one thread at a time waits for everything and deals with what comes.

A thread that waits for an outcome takes the seat if it is free, drives until its outcome is there, and
leaves. Otherwise it sleeps until it is woken, and makes sure that the background thread is about.

`_driver` says who drives. It is set under the engine's lock and cleared in a `finally` by plain stores, which
nothing can strike in two. `_seat` is a lock that the driver holds while it drives: released by `with`
whatever strikes, it is how the background thread learns, asleep in the kernel, that a driver has left.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from phalanx._engine.background import Background
from phalanx._engine.engine import Engine
from phalanx._engine.intake import Intake
from phalanx._engine.jobs import Job
from phalanx._engine.stopped import warn_of_blocks, warn_of_memory
from phalanx._engine.waiting import Waitable, wake
from phalanx._policy import Tick


class Attended(Protocol):
    """What a driver drives for."""

    @property
    def is_done(self) -> bool:
        """Whether to leave."""


class _Turn:
    """One thread's turn in the seat."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = threading.get_ident()


class Driver:
    """Drives one engine."""

    def __init__(self, engine: Engine, keeps_interpreter: bool) -> None:
        self.engine = engine
        self.activity = 0
        self.knocks: deque[threading.Lock] = deque()
        """Users' threads that want the seat which the background thread has; it wakes them when it leaves."""
        self._has_warned = self._has_warned_of_blocks = False
        self._intake = Intake(engine)
        self._seat = threading.Lock()
        self._driver: Any = None
        self.background = Background(self, keeps_interpreter)

    # -- waiting ------------------------------------------------------------------------------------------

    def wait_for(self, thing: Waitable, timeout: float | None = None) -> bool:
        """Until `thing` is done, or for `timeout` seconds. Returns whether it is done."""
        if thing.is_done:
            return True
        if self.engine.is_mine():
            raise RuntimeError(
                "cannot wait for a result here: this code runs inside the pool's own lock "
                "(a __del__ or signal handler that was called at that moment); submit without waiting instead"
            )
        until = None if timeout is None else monotonic() + timeout
        self.activity += 1
        while not thing.is_done:
            if self.is_mine():
                # Code that the collector, a signal or pickling runs while this thread drives: nobody else will.
                self._drive(thing, until)
                break
            token = _Turn()
            try:
                with self.engine.lock:
                    if self._driver is None:
                        self._driver = token
                if self._driver is token:
                    with self._seat:
                        self._drive(thing, until)
                else:
                    self._wait_beside(thing, until)
            finally:
                if self._driver is token:
                    self._driver = None
            if until is not None and monotonic() >= until:
                break
        return thing.is_done

    def is_mine(self) -> bool:
        """Whether this thread is the driver: what asks is called from inside its steps."""
        driver = self._driver
        return driver is not None and driver.thread == threading.get_ident()

    def _wait_beside(self, thing: Waitable, until: float | None) -> None:
        """Somebody else drives."""
        self.background.arm()
        if self._driver is not self.background:
            thing.block(until)
            return
        # Taking over costs one hand-over; being served through another thread costs one every time.
        lock = threading.Lock()
        lock.acquire()
        self.knocks.append(lock)
        thing.block(until, lock, lambda: self._driver is not self.background, self.engine.poller.ring)

    # -- driving ------------------------------------------------------------------------------------------

    def glance(self) -> None:
        """Deal with what has come and nobody has looked at; never waits."""
        self.engine.unread = True
        self.kick()

    def kick(self) -> None:
        """Have chores done and news delivered: by whoever drives, else here."""
        engine = self.engine
        if not (engine.chores or engine.news or engine.finished or engine.output or engine.unread):
            return
        if engine.is_mine():
            self.background.arm()  # not in the middle of a step
        elif not self._visit(self._catch_up):
            # It may be about to leave; the background thread looks again.
            engine.poller.ring()
            self.background.arm()

    def look(self) -> None:
        """Deal with what has come, unless somebody drives; never waits.

        For a thread that goes on with things of its own: it keeps the background thread from driving.
        """
        if self._driver is None and not self.engine.is_mine():
            self._visit(self._take_what_is_there)

    def _visit(self, step: Callable[[], None]) -> bool:
        """Take the seat for one step; False if it is taken."""
        token = _Turn()
        try:
            with self.engine.lock:
                if self._driver is None:
                    self._driver = token
            if self._driver is not token:
                return False
            with self._seat:
                step()
            return True
        finally:
            if self._driver is token:
                self._driver = None

    def _catch_up(self) -> None:
        if self.engine.unread:
            self._look_at_everything()
        self._do_chores()
        self.deliver()

    def _take_what_is_there(self) -> None:
        engine = self.engine
        ready = engine.poller.wait(0)
        if ready:
            with engine.lock:
                engine.enter()
                engine.admit_growth()  # first, for those that are ready for more
                self._intake.take(ready)
                engine.leave()
            self._do_chores()
            self.deliver()

    def nudge(self) -> None:
        """Something became done without the driver, who may be waiting for just that."""
        if self._driver is not None:
            self.engine.poller.ring()

    def drive_in_background(self, stint: Attended) -> bool:
        """Drive until `stint` is done, unless somebody drives already. For the background thread."""
        try:
            with self.engine.lock:
                if self._driver is None:
                    self._driver = self.background
            if self._driver is not self.background:
                return False
            with self._seat:
                self._drive(stint, None)
        finally:
            if self._driver is self.background:
                self._driver = None
            while self.knocks:
                wake(self.knocks.popleft())
        return True

    def current_driver(self) -> Any:
        """Whose turn it is, as an object to compare; None when nobody drives."""
        return self._driver

    def wait_until_left(self) -> None:
        """Sleep until the present driver leaves."""
        with self._seat:
            return

    def _drive(self, thing: Attended, until: float | None) -> None:
        engine, poller = self.engine, self.engine.poller
        # Who drove before may have been struck after the bell of this process's workers was silenced.
        engine.unread |= engine.in_process
        while True:
            if engine.is_unsettled():
                engine.settle()
            if engine.unread:
                self._look_at_everything()
            if engine.chores:
                self._do_chores()
            if engine.news or engine.finished or engine.output:
                self.deliver()
            if thing.is_done:
                return
            if engine.in_process and self._run_here():
                continue
            deadline = engine.next_deadline()
            ready = poller.wait(_seconds_left(deadline, until))
            with engine.lock:
                engine.enter()
                self._intake.take(ready)
                if deadline is not None and deadline <= monotonic():
                    engine.handle(Tick())
                engine.leave()
            if until is not None and monotonic() >= until:
                self.deliver()
                return

    def _run_here(self) -> bool:
        """Let workers that have no thread do something. False if there was nothing to do."""
        engine = self.engine
        if not engine.launcher.run_here():
            return False
        with engine.lock:
            engine.enter()
            self._intake.take([])
            engine.leave()
        return True

    def _look_at_everything(self) -> None:
        engine = self.engine
        with engine.lock:
            engine.enter()
            self._intake.take([(each, 0) for each in (*engine.by_descriptor, engine.launcher.fileno())])
            engine.unread = False
            engine.leave()

    def _do_chores(self) -> None:
        chores = self.engine.chores
        while chores:
            chore = chores[0]
            chore.do(self.engine)
            if chores and chores[0] is chore:
                chores.popleft()

    def deliver(self) -> None:
        """Hand on what has arrived, and wake whoever waits for a job; without the lock."""
        engine = self.engine
        if engine.low_memory is not None and not self._has_warned:
            self._has_warned = True
            warn_of_memory(engine.low_memory, engine.config.memory_floor)
        lending = engine.packer.lending
        if lending is not None and not self._has_warned_of_blocks:
            missing = engine.no_block or lending.depot.shortage
            if missing:
                self._has_warned_of_blocks = True
                warn_of_blocks(missing)
        while engine.output:
            _show(engine, *engine.output.popleft())
        while engine.news:
            job, segment = engine.news[0]
            if job.on_news is not None:
                job.on_news(segment)
            engine.news.popleft()
        while engine.finished:
            thing = engine.finished[0]
            if isinstance(thing, Job) and thing.on_finished is not None:
                thing.on_finished()
            thing.wake_sleepers()
            engine.finished.popleft()


def _show(engine: Engine, kind: int, content: Any) -> None:
    """What a stream or a log handler of the user's raises is told, and keeps no outcome from its item."""
    try:
        engine.show(kind, content)
    except Exception as error:
        error.add_note("phalanx: while output of a task was shown (capture='forward')")
        sys.excepthook(type(error), error, error.__traceback__)


def _seconds_left(deadline: float | None, until: float | None) -> float | None:
    if deadline is None or (until is not None and until < deadline):
        deadline = until
    return None if deadline is None else max(0.0, deadline - monotonic())
