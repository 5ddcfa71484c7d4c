"""`Executor`: a `concurrent.futures.Executor` that no worker's death breaks."""

from __future__ import annotations

import multiprocessing
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from phalanx._api import exiting
from phalanx._api.forking import warn_of_threads
from phalanx._api.future import Future
from phalanx._api.looking import Inspectable
from phalanx._api.maps import as_items
from phalanx._api.processes import WorkerHandle, worker_handles
from phalanx._api.session import Session
from phalanx._api.sizes import default_size
from phalanx._api.streams import Stream
from phalanx._api.traces import attach_executor_trace
from phalanx._base.options import Options, Scope, check_options
from phalanx._policy import Mode

_new = object.__new__  # a new future stores nothing, so there is nothing to initialise

P = ParamSpec("P")
T = TypeVar("T")


class Executor(Inspectable, futures.Executor):
    """Runs calls in worker processes and gives a future for each.

    Takes the arguments of `concurrent.futures.ProcessPoolExecutor`, and by keyword the options of phalanx.
    Workers start with the first call, and only as many as there is work for.

    Args:
        max_workers: Number of workers at most; by default as many as this process may use processors.
        mp_context: A context of `multiprocessing.get_context`, for its start method.
        initializer: Called with `initargs` once in every worker before its first call.
        max_tasks_per_child: Replace a worker after so many items. By default never.

    Raises:
        ValueError: For numbers below 1.
        TypeError: For an initializer that cannot be called, or an unknown option.
        PoolClosed: From `submit`, `map` and `stream` after `shutdown()`.

    Example:
        >>> from phalanx import Executor
        >>> with Executor(max_workers=2) as executor:
        ...     future = executor.submit(pow, 2, 5)
        ...     future.result()
        32
    """

    _original: Executor | None = None

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        **options: Any,
    ) -> None:
        warn_of_threads(options.get("start_method"))
        given = dict(
            options,
            max_workers=max_workers,
            initializer=initializer,
            initargs=initargs,
            max_tasks_per_child=max_tasks_per_child,
        )
        if mp_context is not None:
            given["start_method"] = mp_context.get_start_method()
        self._options = check_options(
            given,
            caller="Executor",
            size_name="max_workers",
            start_methods=multiprocessing.get_all_start_methods(),
        )
        self._max_workers = default_size(self._options)
        self._given_context = mp_context
        self._shut = _Shut(self._options, self._max_workers)
        self._finalizer = weakref.finalize(self, _abandon, self._shut)
        self._finalizer.atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` run in a worker. What cannot be sent fails the future."""
        session = self._shut.session or self._shut.open()
        if not session.is_open:
            self._refuse(session)
        future = _new(Future)
        future._session = session
        lane = session.lane
        if self._options is not session.options:
            lane = future._lane = session.calling.lane(self._options)
        try:
            session.submit(lane, future, fn, args, kwargs)
        except Exception as error:
            if not session.is_open:
                self._raise_if_closed(error)
            future._resolve(False, error, 0)
            return future
        if not session.driver.background.armed:
            session.arm()
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Like the builtin `map`, in the workers: results in input order.

        The input is read at once, and all of it runs, whether or not the results are taken; with
        `buffersize` at most so many items are read ahead. The iterator raises `TimeoutError` if a result is
        not there `timeout` seconds after this call.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        until = None if timeout is None else monotonic() + timeout
        style, items = as_items(iterables)
        if buffersize is None:
            items = list(items)
        stream = self._stream(
            fn,
            style,
            items,
            ordered=True,
            chunksize=chunksize,
            window=buffersize,
            cancels=buffersize is not None,
            bounded=False,
        )
        return _timed(stream, until)

    def stream(self, fn: Callable[..., T], /, *iterables: Iterable[Any], ordered: bool = True) -> Stream[T]:
        """Results one by one, as they come; input and results are never more than a window apart.

        See `phalanx.stream`. Leaving the iterator (`close()`, or dropping it) cancels what has not started.
        """
        style, items = as_items(iterables)
        return self._stream(
            fn, style, items, ordered=ordered, chunksize=None, window=None, cancels=True, bounded=True
        )

    def options(self, **options: Any) -> Executor:
        """A view of this executor whose calls use other options (`chunksize`, `window`, `progress`)."""
        view = object.__new__(Executor)
        view.__dict__.update(self.__dict__)
        view._original = self  # dropping the original would shut both of them down
        view._options = check_options(
            options, caller="options", scope=Scope.CALL, size_name="max_workers", base=self._options
        )
        return view

    def resize(self, n: int) -> None:
        """Have `n` workers at most from now on."""
        checked = check_options({"max_workers": n}, caller="resize", size_name="max_workers")
        self._max_workers = checked.size or 1
        (self._shut.session or self._shut.open()).resize(self._max_workers)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the workers when everything is done.

        `wait`: return only then. `cancel_futures`: cancel what has not started.
        """
        self._end(Mode.CANCEL_QUEUED if cancel_futures else Mode.DRAIN, wait)

    def _end(self, mode: Mode, wait: bool = True) -> None:
        """Take no more calls, and end as `mode` says."""
        session = self._shut.close(mode)
        if session is not None and wait:
            session.join()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        """Wait for all calls; after an interrupt or exit, cancel what is queued and stop what runs."""
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            self._shut.close(Mode.TERMINATE)
        self.shutdown(wait=True)
        return None

    def __repr__(self) -> str:
        state = "shut down" if self._shut.closed else "open"
        return f"<phalanx.Executor {state}, at most {self._max_workers} workers>"

    def _stream(
        self,
        fn: Callable[..., T],
        style: int,
        items: Any,
        *,
        ordered: bool,
        chunksize: int | None,
        window: int | None,
        cancels: bool,
        bounded: bool,
    ) -> Stream[T]:
        session = self._shut.session or self._shut.open()
        if not session.is_open:
            self._refuse(session)
        stream: Stream[T] = Stream(session, self._options, ordered=ordered, cancels=cancels)
        stream.open(
            fn,
            style,
            items,
            chunksize=chunksize or self._options.chunksize,
            window=window or (self._options.window if bounded else None),
            bounded=bounded,
        )
        session.arm()
        return stream

    def _raise_if_closed(self, error: Exception) -> None:
        from phalanx._base.errors import PoolClosed

        if isinstance(error, PoolClosed):
            raise error

    def _refuse(self, session: Session) -> None:
        session.check_process()
        if exiting.has_begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        from phalanx._base.errors import PoolClosed

        raise PoolClosed("cannot schedule new futures after shutdown")

    def _inspected(self) -> Session | None:
        return self._shut.session

    @property
    def _mp_context(self) -> Any:
        """As in the standard executor. Not made before it is asked for: that would settle the start method."""
        return self._given_context or multiprocessing.get_context(self._options.start_method)

    @property
    def _processes(self) -> dict[int, WorkerHandle]:
        """The living workers by pid, as programs look for them in the standard executor."""
        session = self._shut.session
        return {} if session is None else {handle.pid: handle for handle in worker_handles(session)}


class _Shut:
    """The session of an executor and its views: opened by the first call, closed once."""

    def __init__(self, options: Options, size: int) -> None:
        self._options = options
        self._size = size
        self._opening = threading.RLock()
        self.session: Session | None = None
        self.closed = False

    def open(self) -> Session:
        """The session, made now if this is the first call; of several first calls at once one makes it."""
        with self._opening:
            return self.session or self._open()

    def _open(self) -> Session:
        if exiting.has_begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.closed:
            from phalanx._base.errors import PoolClosed

            raise PoolClosed("cannot schedule new futures after shutdown")
        session = Session(
            self._options, self._size, attach_executor_trace, on_demand=True, keeps_interpreter=True
        )
        exiting.end_at_exit(session, Mode.DRAIN)
        session.start()
        if self.session is not None:
            # A collection in here called a `__del__` that made the first call.
            session.close(Mode.TERMINATE)
            session.join()
            return self.session
        self.session = session
        return session

    def close(self, mode: Mode) -> Session | None:
        """Take no more calls. Returns the session, if there ever was one."""
        with self._opening:
            self.closed = True
            session = self.session
        if session is not None:
            session.close(mode)
            session.arm()
        return session


def _abandon(shut: _Shut) -> None:
    """The executor was dropped: what it accepted is still done, then its workers end."""
    session = shut.session
    shut.closed = True
    if session is not None:
        session.abandon()


def _timed(stream: Stream[T], until: float | None) -> Iterator[T]:
    """Results, each by the same moment. A generator, as the standard `Executor.map` returns."""
    try:
        while True:
            # No name for the result: nothing keeps it while the caller has it.
            yield stream.next(None if until is None else max(0.0, until - monotonic()))
    except StopIteration:
        return
    finally:
        # Once it was begun, leaving it (by an error, too) cancels the rest, as the standard executor does.
        stream.close()


for _public in (Executor,):
    _public.__module__ = "phalanx"
