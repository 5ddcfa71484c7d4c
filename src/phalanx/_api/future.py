"""`phalanx.Future`: a `concurrent.futures.Future` that costs little until somebody needs more of it.

The condition, the waiters and the callbacks of the standard class are made when they are first asked for.
A thread that waits for the result drives the engine meanwhile; `concurrent.futures.wait` and `as_completed`
sleep on the standard condition, and the background thread serves them.
"""

from __future__ import annotations

import threading
from concurrent import futures
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any, TypeVar

from phalanx._engine.waiting import Waitable

if TYPE_CHECKING:
    from phalanx._api.session import Session
    from phalanx._engine.packing import Packer

T = TypeVar("T")

_PENDING, _FINISHED = _base.PENDING, _base.FINISHED
_DONE = frozenset((_base.FINISHED, _base.CANCELLED, _base.CANCELLED_AND_NOTIFIED))


class Future(futures.Future[T], Waitable):
    """The outcome of one submitted call: everything of `concurrent.futures.Future`.

    Made by `Executor.submit`. `cancel()` succeeds for whatever has not started to run, also if it has been
    sent to a worker.

    Example:
        >>> from phalanx import Executor
        >>> with Executor(2) as executor:
        ...     executor.submit(pow, 2, 10).result()
        1024
    """

    # Class attributes stand for the state of a new future, so that making one stores next to nothing.
    _state = _PENDING
    _result = None
    _exception = None
    _session: Session | None = None
    _index = -1
    _lane: Any = None
    _packed: Any = None
    # Looked at as an attribute: to ask `__dict__` makes a dictionary, which few futures ever need.
    _made_condition: Any = None
    worker_pid: int | None = None
    """Process id of the worker that ran the call, once it has ended."""

    def __init__(self) -> None:
        # Nothing is made here: see the class attributes and the properties below.
        pass

    # -- what the standard class makes at once ----------------------------------------------------------

    # To type checkers they are plain attributes, as the standard functions' protocols want them.
    if not TYPE_CHECKING:

        @property
        def _condition(self) -> threading.Condition:
            made: threading.Condition = self._made_condition or self.__dict__.setdefault(
                "_made_condition", threading.Condition()
            )
            return made

        @property
        def _waiters(self) -> list[Any]:
            made: list[Any] = self.__dict__.setdefault("_made_waiters", [])
            return made

    @property
    def _done_callbacks(self) -> list[Any]:
        made: list[Any] = self.__dict__.setdefault("_made_callbacks", [])
        return made

    # -- the engine's side ------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        return self._state in _DONE

    def _resolve(self, succeeded: bool, value: Any, pid: int) -> None:
        if self._state is _PENDING:
            self.worker_pid = pid
            if succeeded:
                self._result = value
                self._state = _FINISHED
            elif isinstance(value, futures.CancelledError) and not pid:
                self._state = _base.CANCELLED_AND_NOTIFIED
            else:
                self._exception = value
                self._state = _FINISHED
        if self._sleepers or self._made_condition is not None:
            self._announce()

    def _resolve_packed(self, tag: int, data: bytes, packer: Packer, pid: int) -> None:
        if self._state is _PENDING:
            self.worker_pid = pid
            self._packed = packer, tag, data
            self._state = _FINISHED
        if self._sleepers or self._made_condition is not None:
            self._announce()

    def _announce(self) -> None:
        """Wake whoever waits, then have the callbacks run; the state has been stored."""
        made = self.__dict__
        if self._made_condition is not None:
            with self._condition:
                if "_told" not in made:
                    for waiter in made.get("_made_waiters", ()):
                        self._tell(waiter)
                    made["_told"] = True  # a waiter counts what it is told: cancelling may announce it twice
                self._condition.notify_all()
        if self._sleepers:
            self.wake_sleepers()
        if "_made_callbacks" in made and self._session is not None:
            self._session.call_in_background(self._run_callbacks)

    def _tell(self, waiter: Any) -> None:
        if self._state is not _FINISHED:
            waiter.add_cancelled(self)
            return
        self._unpack()
        if self._exception is None:
            waiter.add_result(self)
        else:
            waiter.add_exception(self)

    def _run_callbacks(self) -> None:
        callbacks = self._done_callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:
                return
            try:
                callback(self)
            except Exception:
                _base.LOGGER.exception("exception calling callback for %r", self)

    def _unpack(self) -> None:
        """Rebuild what came as bytes; of two threads that do so at once, the first one's object counts."""
        packed = self._packed
        if packed is None:
            return
        packer, tag, data = packed
        outcome = self.__dict__.setdefault("_outcome", packer.outcome(tag, data))
        if outcome[0]:
            self._result = outcome[1]
        else:
            self._exception = outcome[1]
        # The outcome stays where it is: a thread that has looked at `_packed` before may come to it later.
        self._packed = None

    # -- the user's side ----------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> T:
        """The call's result; waits at most `timeout` seconds for it.

        Raises what the call raised, `TimeoutError` if it is not done in time, `CancelledError` if it was
        cancelled, and `phalanx.errors.WorkerLost` if the process that ran it died.
        """
        if self._session is None:
            return super().result(timeout)
        if self._state is not _FINISHED or self._packed is not None:
            self._settle_within(timeout)
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                # The traceback holds this frame: without this the exception would hold itself.
                self = None  # type: ignore[assignment]
        return self._result  # type: ignore[return-value]  # it has been stored

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; waits at most `timeout` seconds. Raises as `result` does otherwise."""
        if self._session is None:
            return super().exception(timeout)
        self._settle_within(timeout)
        return self._exception

    def _settle_within(self, timeout: float | None) -> None:
        """Wait until there is an outcome, and rebuild it."""
        if self._state is _PENDING and self._session is not None:
            self._session.wait_for(self, timeout)
            if not self.is_done:
                raise futures.TimeoutError
        if self._packed is not None:
            self._unpack()
        if self._state is not _FINISHED:
            raise futures.CancelledError

    def cancel(self) -> bool:
        """Cancel the call if it has not started to run, whether or not it has been sent to a worker."""
        if self._session is not None and self._state is _PENDING and self._session.cancel(self):
            self._resolve(False, futures.CancelledError(), 0)
        return super().cancel() if self._session is None else self.cancelled()

    def kill(self) -> bool:
        """Stop the call, also if it runs: then the worker that runs it is killed, with all that it started.

        Returns whether the call had not ended, and a call that had not begun is cancelled at once. One that is
        stopped ends as cancelled as soon as its worker is gone; should it have ended by itself before that, its
        outcome stands. Other calls are not affected. A call that runs in a thread cannot be stopped: False.

        Example:
            >>> import time
            >>> from phalanx import Executor
            >>> with Executor(1) as executor:
            ...     future = executor.submit(time.sleep, 60)
            ...     future.kill()
            True
        """
        session = self._session
        if session is None or self._state is not _PENDING:
            return False
        if session.cancel(self, kill=session.can_kill):
            self._resolve(False, futures.CancelledError(), 0)
            return True
        return session.can_kill and not self.is_done

    def running(self) -> bool:
        """Whether a worker has begun to run the call."""
        if self._session is not None and self._state is _PENDING:
            return self._session.is_running(self)
        return super().running()

    def __repr__(self) -> str:
        if self._packed is not None:
            self._unpack()
        return super().__repr__()


Future.__module__ = "phalanx"
