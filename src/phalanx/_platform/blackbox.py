"""What a worker leaves behind to be read when it is stuck or dead: the interpreter's account of its stack.

Theory of operation. The memory file that all workers of a pool have in common (`pages.py`) holds, behind the
pages, one *region* for each of them. A worker opens the file anew, so that its place in it is its own, seeks
to its region, and gives that to `faulthandler`, which writes there from inside a signal handler when the process
dies of a fatal signal. The parent reads the same memory when it likes, the worker's death included.

A region begins with a line that names the worker, then come the dumps, then zeros. It is used again by a later
worker with the same page, which first overwrites with zeros whatever the former wrote, and marks its own line
as valid last, when all handlers stand. So whoever finds the number of a worker there knows three things: the
text is that worker's, it is whole up to the first zero, and the signals below will not kill that worker.

A region nobody has written to takes no memory. Nothing keeps a dump from running out of a region into the
next one, so no more is asked for when half of it is used: the rest is for the last words.

Two signals ask a living worker for its stack.

- `ASK_SIGNAL` has a handler in Python, which runs between two bytecodes. All threads stand still then, for it
  holds the interpreter's lock, and a dump of all of them is sound.
- `INSIST_SIGNAL` is for code that does not come to its next bytecode: a long call into C. `faulthandler` answers
  it on the spot, with the stack of the thread that it comes to, the main one. That must not be sent to a worker
  that runs bytecodes, whose frames are being made and freed: of a process that sorted with a key function, or ran
  generators or regular expressions that call back, some 10 to 500 such dumps made a segmentation fault (CPython
  3.11 and 3.13); of one that had other busy threads, 7, if all threads were dumped. See `asking.py`.

When a process dies anyway, all threads are worth the risk: code that Python knows nothing of may be to blame.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import faulthandler
import os

REGION_BYTES = 1 << 24
"""Far more than any dump: 100 threads of 100 frames of 600 bytes, the most that is ever met, are 6 MB."""
ASK_BELOW = REGION_BYTES // 2

# The low real-time signals belong to runtimes that a worker may load (.NET takes SIGRTMIN) and to programs
# that count from there; valgrind takes SIGRTMAX. SIGUSR1 and SIGUSR2 are the user's.
ASK_SIGNAL: int | None = _signal.SIGRTMIN + 8 if hasattr(_signal, "SIGRTMIN") else None
INSIST_SIGNAL: int | None = ASK_SIGNAL and ASK_SIGNAL + 1

BEGIN = b"--- asked\n"
END = b"--- told\n"

_CHUNK = 65_536
_PAGE = 4096
_VALID = b"#"
# Two numbers of 64 bits.
_LONGEST_HEAD = 48


def record(descriptor: int, start: int, worker: int) -> None:
    """In the worker: from now on its dumps go to the region at `start`. Where that cannot be, nothing happens."""
    if ASK_SIGNAL is None:
        return
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY)
    except OSError:  # no /proc here: this worker will have no last words
        return
    try:
        if os.pread(descriptor, 1, start) > b"\0":
            _clear(descriptor, own, start)
        os.lseek(own, start, os.SEEK_SET)
        # Memory for it is found here or never.
        os.write(own, b"?%d %d\n" % (worker, os.getpid()))
    except OSError:  # no memory is left, or files may not be as large
        os.close(own)
        return
    _install(own)
    os.pwrite(own, _VALID, start)


def read(descriptor: int, start: int, worker: int, since: int = 0) -> str | None:
    """What was dumped so far, from the place `since` on, or None while the region is not that worker's."""
    head = _head(descriptor, start, worker)
    if not head:
        return None
    at, end = start + len(head) + since, start + REGION_BYTES
    parts: list[bytes] = []
    while at < end:
        part = os.pread(descriptor, min(_CHUNK, end - at), at)
        text, zero, _ = part.partition(b"\0")
        parts.append(text)
        at += len(part)
        if zero or not part:
            break
    return b"".join(parts).decode("ascii", "replace")


def process_id(descriptor: int, start: int, worker: int) -> int | None:
    """Of the worker, by its own account; None while the region is not that worker's."""
    head = _head(descriptor, start, worker)
    return int(head.split()[1]) if head else None


def _head(descriptor: int, start: int, worker: int) -> bytes:
    """The region's first line, if it is that worker's."""
    if descriptor < 0:
        return b""
    head, end, _ = os.pread(descriptor, _LONGEST_HEAD, start).partition(b"\n")
    return head + end if end and head.startswith(_VALID + b"%d " % worker) else b""


def _clear(descriptor: int, own: int, start: int) -> None:
    """Overwrite what a former worker wrote, down to its end."""
    for at in range(start, start + REGION_BYTES, _PAGE):
        used = len(os.pread(descriptor, _PAGE, at).partition(b"\0")[0])
        os.pwrite(own, bytes(used), at)
        if used < _PAGE:
            return


_was_enabled: bool | None = None
"""Whether somebody had enabled `faulthandler` before us; None while we have not."""
_own: int | None = None
"""Where this process tells of its stacks, if it is a worker."""


def _install(own: int) -> None:
    global _was_enabled, _own
    if _was_enabled is None:  # or this is a worker's worker, forked
        _was_enabled = faulthandler.is_enabled()
    faulthandler.enable(file=own, all_threads=True)
    assert INSIST_SIGNAL is not None
    # In this order: a registration that came with a fork would be taken for the one made here.
    faulthandler.unregister(INSIST_SIGNAL)
    # What is in force again when the interpreter ends. By default the signal would end it sooner.
    _signal.signal(INSIST_SIGNAL, _signal.SIG_IGN)
    faulthandler.register(INSIST_SIGNAL, file=own, all_threads=False, chain=False)
    _own = own
    _signal.signal(ASK_SIGNAL, _answer)
    # For the same reason. This handler comes first, so it runs last.
    atexit.register(_signal.signal, ASK_SIGNAL, _signal.SIG_IGN)
    os.register_at_fork(after_in_child=_divert)


def _answer(signum: int, frame: object) -> None:
    if _own is None:
        return
    try:
        os.write(_own, BEGIN)
        faulthandler.dump_traceback(_own, all_threads=True)
        os.write(_own, END)
    except OSError:
        # No memory for it. This would be raised in the user's code, which has nothing to do with it.
        pass


def _divert() -> None:
    """In a child of the worker, whose last words would be taken for the worker's.

    They go where they would go without us. Not by other calls of `faulthandler`: the user may have made his own.
    Once: further down the number may stand for a file of the user's.
    """
    global _own
    own, _own = _own, None
    if own is None:
        return
    try:
        if _was_enabled:
            os.dup2(2, own, inheritable=False)
        else:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, own, inheritable=False)
            os.close(nowhere)
    except OSError:  # there is no such place
        faulthandler.disable()
