"""`phalanx.Process`: a `multiprocessing.Process` that can be asked for its result.

The child writes its outcome into a file without a name that parent and child share, and ends. Nobody has to read it,
so a large result holds nobody up; what was not written to its end is no outcome. The length, which is written last,
says that it was.
"""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from multiprocessing import context, get_start_method, process, reduction
from struct import Struct
from typing import Any

from phalanx._launch import mains
from phalanx._platform.files import anonymous_file
from phalanx._platform.forked import Descriptor
from phalanx._wire.by_value import is_current
from phalanx._wire.pickling import decode, decode_error
from phalanx._worker.enclosed import enclose

# How long the outcome is, and whether it is a failure.
_HEAD = Struct("<Q?")


class Slip:
    """Where the child writes its outcome. Travels to it by fork, or with the process object."""

    def __init__(self, descriptor: int) -> None:
        self._file = Descriptor(descriptor)

    def __reduce__(self) -> Any:
        return _slip_of, (reduction.DupFd(self._file.number),)

    def write(self, failed: bool, data: bytes) -> None:
        """In the child: `data` is the outcome."""
        rest, at = memoryview(data), _HEAD.size
        while rest:
            written = os.pwrite(self._file.number, rest, at)
            rest, at = rest[written:], at + written
        os.pwrite(self._file.number, _HEAD.pack(len(data), failed), 0)

    def read(self) -> tuple[bool, bytes] | None:
        """Whether it failed, and the outcome; None if there is none."""
        head = os.pread(self._file.number, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return None
        length, failed = _HEAD.unpack(head)
        data = bytearray()
        while len(data) < length:
            piece = os.pread(self._file.number, length - len(data), _HEAD.size + len(data))
            if not piece:
                return None
            data += piece
        return failed, bytes(data)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def _slip_of(handle: Any) -> Slip:
    return Slip(handle.detach())


class _Asked(process.BaseProcess):
    """What our processes add to the standard library's."""

    _slip: Slip | None = None
    _is_packed = False
    _outcome: tuple[Any, BaseException | None] | None = None
    # Of the standard class, and not known to type checkers.
    _target: Callable[..., Any] | None
    _args: tuple[Any, ...]
    _kwargs: dict[str, Any]

    def start(self) -> None:
        """Start the process. Raises what `multiprocessing.Process.start` raises."""
        mains.check_not_in_main()
        self._check_closed()  # type: ignore[attr-defined]
        _allow_in_worker()
        before, slip = self._slip, Slip(anonymous_file("phalanx-result"))
        try:
            self._slip = slip
            self._preload()
            with mains.left_to_us():
                super().start()
        except BaseException:
            self._slip = before  # perhaps it was started already
            slip.close()
            raise

    def _preload(self) -> None:
        if (getattr(self, "_start_method", None) or get_start_method()) == "forkserver":
            from phalanx._launch.context import preload

            preload(__name__)

    def run(self) -> Any:
        """What the process does: calls the target. Its value is the process's result; may be overridden."""
        if self._target:
            return self._target(*self._args, **self._kwargs)
        return None

    def result(self, timeout: float | None = None) -> Any:
        """What `run`, the target, has returned; waits at most `timeout` seconds for the process to end.

        Raises what `run` has raised, with the child's traceback as its cause; `phalanx.errors.WorkerLost` if the
        process ended otherwise than by coming to the end of `run`; `phalanx.errors.NotSendable` if the value
        cannot be pickled; `TimeoutError` if the process has not ended in time.

        Example:
            >>> import phalanx
            >>> process = phalanx.Process(target=pow, args=(2, 10))
            >>> process.start()
            >>> process.result()
            1024
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        assert self._outcome is not None
        return self._outcome[0]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, or None; waits at most `timeout` seconds for the process to end."""
        if self._outcome is None:
            self.join(timeout)
            if self.exitcode is None:
                raise TimeoutError(
                    f"{self.name} has not ended after {timeout} seconds; it goes on: ask again, or terminate() it"
                )
            self._outcome = self._read()
        return self._outcome[1]

    def close(self) -> None:
        """As `multiprocessing.Process.close`. What was asked for before can still be asked for."""
        super().close()
        if self._slip is not None:
            self._slip.close()

    def _read(self) -> tuple[Any, BaseException | None]:
        found = None if self._slip is None else self._slip.read()
        if found is None:
            return None, self._lost()
        failed, data = found
        if not failed:
            try:
                return decode(data), None
            except Exception as refusal:
                refusal.add_note(f"phalanx: the result of {self.name} cannot be rebuilt in this process")
                return None, refusal
        from phalanx._api.traces import attach_pool_trace

        error, trace, note = decode_error(data)
        error.add_note(note)
        if trace:
            attach_pool_trace(error, trace)
        return None, error

    def _lost(self) -> BaseException:
        from phalanx._base.errors import WorkerLost, describe_exit

        status = self.exitcode
        reason = describe_exit(status)
        return WorkerLost(
            f"{self.name} (pid {self.pid}) ended without a result: {reason}",
            pid=self.pid,
            exitcode=status if status is None or status >= 0 else None,
            signal=-status if status is not None and status < 0 else None,
            reason=reason,
        )

    def __reduce__(self) -> Any:
        # Among its own arguments, or pickled by somebody who starts no process: as any object.
        if self._is_packed or context.get_spawning_popen() is None:
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]
        main = mains.of_this_program()
        self._is_packed = True
        try:
            content = type(self), {**vars(self), "_is_packed": False}
            packed = enclose(content, ("class", "process"), is_current if main else _never_there)
        finally:
            del self._is_packed
        return _arrive, (main, packed)

    # -- in the child -------------------------------------------------------------------------------------

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        run = self.run

        def run_and_tell() -> None:
            try:
                value = run()
            except SystemExit as leaving:
                if not leaving.code:  # as it ends the interpreter: in order, and without a value
                    self._tell(None)
                raise
            except BaseException as error:
                self._tell_failure(error)
                raise
            self._tell(value)

        self.run = run_and_tell  # type: ignore[method-assign]
        return int(super()._bootstrap(parent_sentinel))  # type: ignore[misc]

    def _tell(self, value: Any) -> None:
        from phalanx._wire.pickling import encode_result

        if self._slip is None:
            return
        try:
            self._slip.write(False, encode_result(value))
        except (
            Exception
        ) as error:  # that it cannot travel is the answer to who asks, and nobody else's business
            self._tell_failure(error)

    def _tell_failure(self, error: BaseException) -> None:
        from traceback import format_exception

        from phalanx._wire.pickling import encode_error

        if self._slip is not None:
            note = f"phalanx: raised in {self.name} (pid {os.getpid()})"
            self._slip.write(True, encode_error(error, "".join(format_exception(error)), note))


def _never_there(obj: Any) -> bool:
    """Of functions and classes in a `__main__` that cannot be run again: the new process has none of them."""
    return True


def _arrive(main: dict[str, str], packed: bytes) -> _Asked:
    """In a new process: the program comes before what may need it."""
    mains.run_again(main)
    kind, state = decode(packed)
    arrived: _Asked = kind.__new__(kind)
    vars(arrived).update(state)
    return arrived


def _allow_in_worker() -> None:
    """Workers of our pools may have children, which cannot outlive them."""
    current: Any = process.current_process()
    if current._config.get("daemon"):
        from phalanx._launch.process import is_worker

        if is_worker(current):
            current._config["daemon"] = False


class Process(_Asked, context.Process):
    """`multiprocessing.Process`, whose `result()` is what its target has returned.

    Example:
        >>> import phalanx
        >>> process = phalanx.Process(target=sum, args=([1, 2, 3],))
        >>> process.start()
        >>> process.result(timeout=60)
        6
        >>> process.exitcode
        0
    """


class ForkProcess(_Asked, context.ForkProcess):
    """A process of the context "fork"."""


class SpawnProcess(_Asked, context.SpawnProcess):
    """A process of the context "spawn"."""


class ForkServerProcess(_Asked, context.ForkServerProcess):
    """A process of the context "forkserver"."""


Process.__module__ = "phalanx"
