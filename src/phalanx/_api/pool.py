"""`Pool` and `ThreadPool`: drop-ins for `multiprocessing.pool`."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable
from multiprocessing import util
from operator import index
from typing import Any, Self, TypeVar

from phalanx._api.forking import warn_of_threads
from phalanx._api.looking import Inspectable
from phalanx._api.maps import as_sequence, map_all
from phalanx._api.processes import WorkerHandle, worker_handles
from phalanx._api.results import AsyncResult, Callback, MapResult
from phalanx._api.session import Session
from phalanx._api.sizes import default_size
from phalanx._api.streams import Stream
from phalanx._api.traces import attach_pool_trace
from phalanx._base.options import Options, check_options
from phalanx._engine.jobs import SequenceSource
from phalanx._policy import Mode
from phalanx._wire.frames import SINGLE, STAR

_RUN, _CLOSE, _TERMINATE = "RUN", "CLOSE", "TERMINATE"

S = TypeVar("S")
T = TypeVar("T")


class Pool(Inspectable):
    """A group of reused worker processes that applies a function to many inputs.

    Takes the arguments of `multiprocessing.Pool`, and by keyword the options of phalanx. A worker that dies
    costs the item that it was running, which raises `phalanx.errors.WorkerLost`; the pool goes on.

    Args:
        processes: Number of workers; by default as many as this process may use processors.
        initializer: Called with `initargs` once in every worker before its first item.
        maxtasksperchild: Replace a worker after so many tasks (chunks, for maps). By default never.
        context: A context of `multiprocessing.get_context`, for its start method.

    Raises:
        ValueError: For a number of processes or tasks below 1.
        TypeError: For an initializer that cannot be called, or an unknown option.
        PoolClosed: From every method, after `close()` or `terminate()`.

    Example:
        >>> from phalanx import Pool
        >>> with Pool(2) as pool:
        ...     pool.map(abs, [-1, -2, 3])
        [1, 2, 3]
    """

    _size_name = "processes"

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        **options: Any,
    ) -> None:
        self._state = "INIT"
        warn_of_threads(options.get("start_method"))
        given = dict(options, processes=processes, initializer=initializer, initargs=initargs)
        if maxtasksperchild is not None:
            given["max_tasks_per_child"] = _check_tasks(maxtasksperchild)
        if context is not None:
            given["start_method"] = context.get_start_method()
        checked = check_options(
            given,
            caller="Pool",
            size_name="processes",
            start_methods=multiprocessing.get_all_start_methods(),
            base=self._base_options(),
        )
        self._processes = default_size(checked)
        self._session = Session(checked, self._processes, attach_pool_trace)
        self._finalizer = util.Finalize(self, _end_session, args=(self._session,), exitpriority=15)
        self._session.start()
        self._state = _RUN

    def _base_options(self) -> Options:
        return Options()

    # -- calls --------------------------------------------------------------------------------------------

    def apply(
        self, func: Callable[..., T], args: Iterable[Any] = (), kwds: dict[str, Any] | None = None
    ) -> T:
        """`func(*args, **kwds)` in a worker; waits for the result."""
        self._check_running()
        result: AsyncResult[T] = AsyncResult(self._session, None, None)
        self._session.submit(self._session.lane, result, func, tuple(args), kwds or {})
        return result.get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> AsyncResult[T]:
        """`func(*args, **kwds)` in a worker. A callback is called with the result, on a thread of the pool."""
        self._check_running()
        result: AsyncResult[T] = AsyncResult(self._session, callback, error_callback)
        try:
            self._session.submit(self._session.lane, result, func, tuple(args), kwds or {})
        except Exception as error:
            result._resolve(False, error, 0)
        self._session.arm()
        return result

    def map(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None) -> list[T]:
        """`[func(x) for x in iterable]`, in input order.

        All items are finished; then the first one that failed raises. `chunksize` fixes how many items go to
        a worker at once; by default that follows from measuring them.
        """
        return self._map(func, SINGLE, iterable, chunksize)

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """Like `map`, with the elements of `iterable` unpacked as arguments."""
        return self._map(func, STAR, iterable, chunksize)

    def map_async(
        self,
        func: Callable[[S], T],
        iterable: Iterable[S],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> MapResult[T]:
        """`map` without waiting."""
        return self._map_async(func, SINGLE, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> MapResult[T]:
        """`starmap` without waiting."""
        return self._map_async(func, STAR, iterable, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None
    ) -> IMapIterator[T]:
        """An iterator over the results in input order, each as soon as it is there.

        The input is read a bounded way ahead of what has been taken.
        """
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None
    ) -> IMapIterator[T]:
        """Like `imap`, with results in the order in which they come."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def _map(
        self, func: Callable[..., T], style: int, iterable: Iterable[Any], chunksize: int | None
    ) -> list[T]:
        self._check_running()
        chunksize = self._chunksize(chunksize)
        items = as_sequence(iterable)
        if not items:
            return []
        return map_all(
            self._session,
            func,
            style,
            items,
            chunksize=chunksize,
            task_size=self._standard_chunk(items, chunksize),
            options=self._session.options,
        )

    def _map_async(
        self,
        func: Callable[..., T],
        style: int,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callback,
        error_callback: Callback,
    ) -> MapResult[T]:
        self._check_running()
        chunksize = self._chunksize(chunksize)
        result: MapResult[T] = MapResult(self._session, callback, error_callback)
        try:
            items = as_sequence(iterable, copy=True)
            self._session.open_job(
                func,
                SequenceSource(items),
                style,
                total=len(items),
                sealed=True,
                chunksize=chunksize,
                task_size=self._standard_chunk(items, chunksize),
                prepare=result._follow,
            )
        except Exception as error:
            result._resolve(False, error, 0)
        self._session.arm()
        return result

    def _imap(
        self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None, ordered: bool
    ) -> IMapIterator[T]:
        self._check_running()
        if chunksize is not None and index(chunksize) < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        chunksize = self._chunksize(chunksize)
        stream: IMapIterator[T] = IMapIterator(
            self._session, self._session.options, ordered=ordered, cancels=False
        )
        stream.open(
            func,
            SINGLE,
            iterable,
            chunksize=chunksize,
            window=self._session.options.window,
            task_size=chunksize or 1,
            group=chunksize,
        )
        self._session.arm()
        return stream

    def _chunksize(self, chunksize: int | None) -> int | None:
        return self._session.options.chunksize if chunksize is None else max(1, index(chunksize))

    def _standard_chunk(self, items: Any, chunksize: int | None) -> int:
        """Items that the standard library would have put into one task, for `maxtasksperchild`."""
        return chunksize or max(1, -(-len(items) // (self._processes * 4)))

    # -- the end --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more work; workers end when all of it is done."""
        if self._state != _TERMINATE:
            self._state = _CLOSE
            self._session.close(Mode.DRAIN)

    def terminate(self) -> None:
        """Stop at once: work that is not done is dropped, workers are killed."""
        self._state = _TERMINATE
        _end_session(self._session)
        self._finalizer.cancel()

    def join(self) -> None:
        """Wait for the workers to end. Call `close()` or `terminate()` first."""
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        self._session.join()
        self._finalizer.cancel()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()

    def __del__(self) -> None:
        if getattr(self, "_state", None) == _RUN:
            warnings.warn(
                f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self, stacklevel=2
            )

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={self._processes}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._session.foreign:
            self._session.check_process()
        if self._state != _RUN:
            from phalanx._base.errors import PoolClosed

            raise PoolClosed("Pool not running: it has been closed or terminated")

    def _inspected(self) -> Session:
        return self._session

    @property
    def _pool(self) -> list[WorkerHandle]:
        """The living workers, as programs look for them in the standard pool."""
        return worker_handles(self._session)

    def _repopulate_pool(self) -> None:
        """Replacing workers needs no asking here."""


class ThreadPool(Pool):
    """The same with threads of this process for workers: for work that waits more than it computes.

    Nothing is pickled or copied. A thread cannot be killed: `terminate()` drops what has not started and
    lets running items finish.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        **options: Any,
    ) -> None:
        super().__init__(processes, initializer, initargs, **options)

    def _base_options(self) -> Options:
        return Options(backend="threads")


class IMapIterator(Stream[T]):
    """What `imap` and `imap_unordered` return: an iterator with a `next(timeout=None)` method."""

    def _timed_out(self) -> BaseException:
        return multiprocessing.TimeoutError("the next result has not come in time")


def _check_tasks(value: Any) -> int:
    """In the words and with the exception of the standard library."""
    if not isinstance(value, int) or value <= 0:
        raise ValueError("maxtasksperchild must be a positive int or None")
    return value


def _end_session(session: Session) -> None:
    """Terminate and give everything back; also at interpreter exit, and when a pool is collected."""
    session.close(Mode.TERMINATE)
    session.join()


for _public in (Pool, ThreadPool, AsyncResult, MapResult, IMapIterator):
    _public.__module__ = "phalanx.pool"
