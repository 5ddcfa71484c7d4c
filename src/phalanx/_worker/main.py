"""The worker's main function: what a new process does first and last."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._platform import shares
from phalanx._platform.pages import SharedPages  # at once: so the fork server has it for all workers
from phalanx._platform.signals import answer_interrupts
from phalanx._wire import frames
from phalanx._wire.by_value import remember_main
from phalanx._worker import here
from phalanx._worker.capturing import Captured
from phalanx._worker.loop import Inlet, serve_at_hand, serve_memory, serve_socket
from phalanx._worker.outcomes import PickleCodec
from phalanx._worker.outlet import Outlet
from phalanx._worker.wanting import Wanting

if TYPE_CHECKING:
    from phalanx._transport import MemoryEnd


def run_process(setup: WorkerSetup, identity: WorkerIdentity, sock: socket.socket) -> bool:
    """The whole life of a worker process after its launcher has started it. True if it was told to stop."""
    # Not SIG_IGN, which programs started by a task would inherit. Ctrl-C is the parent's to answer.
    answer_interrupts(_leave_to_parent)
    os.register_at_fork(after_in_child=sock.close)
    shares.give_process(setup.share)
    mine = here.Facts(identity.slot)
    here.enter_process(mine)
    pages: SharedPages = setup.pages
    page = pages.page(identity.page)
    outlet = Outlet(sock.sendall, partial(socket.send_fds, sock))
    captured = None
    inlet = Inlet(sock)
    codec = PickleCodec(outlet.announce, Wanting(outlet.send, inlet).load)
    codec.keep_a_descriptor()
    try:
        if setup.threads is not None:
            setup.threads.apply()
        for name, value in identity.environment.items():
            os.environ[name] = value
        captured = None if setup.capture[0] == "inherit" else Captured(outlet.send, setup.capture)
        if setup.initializer is not None:
            pages.record_stacks(identity.page, identity.worker)
            remember_main()
            initializer, initargs = setup.initializer, setup.initargs
            if type(initializer) is bytes:  # enclosed
                initializer, initargs = codec.load(initializer)
            initializer(*initargs)
    except BaseException as error:
        _, data = PickleCodec().failure(error, -1).piece
        outlet.send(frames.pack_frame(frames.START_FAILED, data))
        return False
    try:
        outlet.send(frames.pack_number(frames.READY, os.getpid()))
        if setup.initializer is None:
            # Not sooner: nothing of the user's can have run yet, and meanwhile the parent sends the first items.
            pages.record_stacks(identity.page, identity.worker)
        if captured is not None:
            outlet.before_end = captured.finish_lines
        return serve_socket(inlet, page, outlet, codec, setup.inherited)
    except (BrokenPipeError, ConnectionResetError):
        # The parent has gone or has closed this worker's channel: nobody wants the outcome any more.
        return False
    finally:
        mine.end()
        if captured is not None:
            captured.finish_lines()


def run_thread(setup: WorkerSetup, identity: WorkerIdentity, end: MemoryEnd) -> None:
    """The whole life of a worker thread."""
    shares.give_thread(setup.share)
    mine = here.Facts(identity.slot, is_alone=False)
    here.enter_thread(mine)
    try:
        if _initialize(setup, end):
            serve_memory(end, setup.pages.page(identity.page))
    finally:
        mine.end()


def run_inline(setup: WorkerSetup, identity: WorkerIdentity, end: MemoryEnd) -> Callable[[], bool | None]:
    """A worker without a thread: returns the function that runs what has come (see `serve_at_hand`)."""
    mine = here.Facts(identity.slot)

    def begin() -> Callable[[], bool | None]:
        here.enter_thread(mine)
        return (
            serve_at_hand(end, setup.pages.page(identity.page)) if _initialize(setup, end) else lambda: None
        )

    step: Callable[[], bool | None] = shares.call_with(setup.share, begin)

    def go_on() -> bool | None:
        here.enter_thread(mine)
        going = step()
        if going is None:
            mine.end()
        return going

    return lambda: shares.call_with(setup.share, go_on)


def _initialize(setup: WorkerSetup, end: MemoryEnd) -> bool:
    """Run the initializer in this process, and tell how it went."""
    try:
        if setup.initializer is not None:
            setup.initializer(*setup.initargs)
    except BaseException as error:
        # As text: its frames would hold those of the thread that waits, for as long as the engine lives.
        from traceback import format_exception

        text = "".join(format_exception(error))
        end.send((frames.START_FAILED, (error.with_traceback(None), text, "")))
        return False
    end.send((frames.READY, os.getpid()))
    return True


def _leave_to_parent(signum: int, frame: FrameType | None) -> None:
    """An interrupt from the terminal reaches every process of its group; the parent decides what it means."""
