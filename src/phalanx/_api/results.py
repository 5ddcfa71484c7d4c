"""What `Pool`'s asynchronous methods return."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from phalanx._engine.waiting import Waitable

if TYPE_CHECKING:
    from phalanx._api.session import Session
    from phalanx._engine.jobs import Job
    from phalanx._engine.packing import Packer

T = TypeVar("T")

Callback = Callable[[Any], object] | None


class AsyncResult(Waitable, Generic[T]):
    """The outcome of `Pool.apply_async` or one of the `*_async` maps, once it is there.

    A callback has run before `wait()` returns.
    """

    # Class attributes stand for the state of a new result, so that making one stores next to nothing.
    is_done = False
    _index = -1
    _known = False
    _packed: Any = None
    _succeeded = False
    _value: Any = None

    def __init__(self, session: Session, callback: Callback, error_callback: Callback) -> None:
        self._session = session
        self._callback = callback
        self._error_callback = error_callback

    def ready(self) -> bool:
        """Whether the call has ended."""
        return self.is_done

    def successful(self) -> bool:
        """Whether the call ended without an exception. Raises `ValueError` if it has not ended."""
        if not self.is_done:
            raise ValueError(f"{self!r} not ready")
        self._unpack()
        return self._succeeded

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call has ended, at most `timeout` seconds."""
        self._wait(timeout)

    def _wait(self, timeout: float | None) -> bool:
        return self._session.wait_for(self, timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result, or what the call raised. Raises `multiprocessing.TimeoutError` after `timeout` seconds."""
        if not self._wait(timeout):
            raise multiprocessing.TimeoutError
        self._unpack()
        if self._succeeded:
            return self._value  # type: ignore[no-any-return]
        raise self._value

    # -- the engine's side ------------------------------------------------------------------------------

    def _resolve(self, succeeded: bool, value: Any, pid: int) -> None:
        if not self._known:
            self._succeeded, self._value = succeeded, value
            self._known = True
        self._announce()

    def _resolve_packed(self, tag: int, data: bytes, packer: Packer, pid: int) -> None:
        if not self._known:
            self._packed = packer, tag, data
            self._known = True
        self._announce()

    def _announce(self) -> None:
        if self._callback is not None or self._error_callback is not None:
            self._session.call_in_background(self._call_back)
            return
        self.is_done = True
        if self._sleepers:
            self.wake_sleepers()

    def _call_back(self) -> None:
        """Run the callback, once, and only then let waiters go."""
        callback, self._callback = self._callback, None
        error_callback, self._error_callback = self._error_callback, None
        try:
            self._unpack()
            chosen = callback if self._succeeded else error_callback
            if chosen is not None:
                chosen(self._value)
        except BaseException as error:
            _report(error)
        finally:
            self.is_done = True
            self.wake_sleepers()
            self._session.driver.nudge()

    def _unpack(self) -> None:
        packed = self._packed
        if packed is not None:
            packer, tag, data = packed
            self._succeeded, self._value = packer.outcome(tag, data)
            self._packed = None


class MapResult(AsyncResult[list[T]]):
    """The outcome of an asynchronous map."""

    _job: Job | None = None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all items have ended, at most `timeout` seconds; shows progress if the pool does."""
        self._wait(timeout)

    def _wait(self, timeout: float | None) -> bool:
        job = self._job
        if job is None:
            return super()._wait(timeout)
        from phalanx._api.maps import wait_showing

        return wait_showing(self._session, self, job, self._session.options, timeout)

    def _follow(self, job: Job) -> None:
        """Become done when the job is."""
        self._job = job
        job.on_finished = self._announce

    def _unpack(self) -> None:
        from phalanx._api.maps import collect

        job = self._job
        if job is None:
            return
        session = self._session
        self._succeeded, self._value = collect(job, session.packer, session.options.on_error)
        self._job = None


def _report(error: BaseException) -> None:
    """A callback that raises harms nobody but is not silent, like an exception in a thread."""
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )
