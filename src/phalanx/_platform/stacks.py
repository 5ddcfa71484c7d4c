"""Reading what `faulthandler` wrote: pure, but for looking up lines of source.

A dump is a line that names the thread, then its frames, innermost first, at most 100. A worker that is asked
dumps all threads, its main one last, between two lines of ours. One that is asked with insistence dumps its main
thread ("Stack", without a number), and there is no end mark: it is there when the frame has come in which the
worker begins, since what lies outside of that is of no interest. By a fatal signal all threads are dumped, after
a line that says which signal.

For users, a stack is turned round (most recent call last, as in Python's tracebacks), and what lies outside
their own code is cut off: the script and library frames that a forked worker has inherited, what starts a
process or thread, and our own frames down to the call of their function.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phalanx._platform import blackbox

_FATAL = "Fatal Python error: "
_INSISTED = "Stack (most recent call first):\n"
_BEGIN, _END = blackbox.BEGIN.decode(), blackbox.END.decode()
_THREAD = re.compile(r"(Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])? \(most recent call first\):")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
# traceback.c: MAX_FRAME_DEPTH. Some versions say that there are more, some do not.
_MOST_FRAMES = 100

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120
# A program that was frozen into one file may have no such place.
_LIBRARY = os.path.dirname(getattr(os, "__file__", "/nowhere/os.py")) + os.sep  # noqa: PTH120
_STANDARD = tuple(_LIBRARY + name for name in ("multiprocessing" + os.sep, "threading.py"))
_TELLING = os.path.join(_OURS, "_platform", "blackbox.py")  # noqa: PTH118
# The innermost of these is where a worker begins.
_ENTRIES = frozenset(
    (_OURS + path.replace("/", os.sep), name)
    for path, name in (
        ("_worker/main.py", "run_process"),
        ("_launch/process.py", "_bootstrap"),
        ("_launch/nursery.py", "run_nursery"),
    )
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One call."""

    file: str
    line: int
    name: str

    @property
    def is_ours(self) -> bool:
        """Whether it is this library's."""
        return self.file.startswith(_OURS)

    @property
    def is_library(self) -> bool:
        """Whether it belongs to the standard library or to something that was installed."""
        return (
            self.file.startswith((_OURS, _LIBRARY, "<frozen "))
            or f"{os.sep}site-packages{os.sep}" in self.file
            or f"{os.sep}dist-packages{os.sep}" in self.file
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.file}, line {self.line})"


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """One thread's frames, most recent call last, without what lies outside the user's code."""

    ident: int | None
    """As `threading.get_ident()` has it; None for a dump on request, which does not say."""
    name: str | None
    """Where the interpreter tells it (CPython 3.14 and later)."""
    is_current: bool
    """Whether it is the thread that the signal struck."""
    frames: tuple[Frame, ...]
    is_cut: bool = False
    """Whether there are more frames outside of these."""

    def culprit(self) -> Frame | None:
        """The innermost frame of the user's own code; the innermost of all if there is none."""
        own = [frame for frame in self.frames if not frame.is_library]
        return own[-1] if own else self.frames[-1] if self.frames else None


def parse_stacks(text: str) -> list[ThreadStack]:
    """The threads of all dumps in the text, in its order, without those that run nothing of the user's.

    The thread that the signal struck, or that was asked for, is there even if it has no frame left.
    """
    stacks = [_parse_thread(*each) for each in _threads(text)]
    return [stack for stack in stacks if stack.frames or stack.is_current]


def tell(dump: str) -> tuple[str | None, str | None]:
    """For an error: the stacks as Python writes tracebacks, and in one line where it was. None: not known."""
    stacks = parse_stacks(dump)
    # None is the current one if the signal struck a thread that Python does not know: main is the last.
    struck = next((stack for stack in stacks if stack.is_current), stacks[-1] if stacks else None)
    culprit = struck and struck.culprit()
    return format_stacks(stacks) or None, str(culprit) if culprit else None


def fatal_dump(text: str) -> str:
    """What was written when a fatal signal came, or the interpreter gave up; empty if that was not so."""
    head = _fatal_at(text)
    return text[head:] if head >= 0 else ""


def without_fatal_dump(text: str) -> str:
    """What stands before that."""
    head = _fatal_at(text)
    return text[:head] if head >= 0 else text


def _fatal_at(text: str) -> int:
    return ("\n" + text).rfind("\n" + _FATAL)


def first_answer(text: str) -> tuple[str, bool]:
    """The first dump in what came after a worker was asked, and whether all of it is there."""
    asked, insisted = text.find(_BEGIN), text.find(_INSISTED)
    if asked >= 0 and not 0 <= insisted < asked:
        dump, end, _ = text[asked + len(_BEGIN) :].partition(_END)
        return dump, bool(end)
    if insisted < 0:
        return "", False
    lines = text[insisted : text.rfind("\n") + 1].splitlines()
    size = next((at for at, line in enumerate(lines) if at and not line.startswith("  ")), len(lines))
    found = [match for match in map(_FRAME.fullmatch, lines[1:size]) if match]
    whole = len(found) >= _MOST_FRAMES or any((match[1], match[3]) in _ENTRIES for match in found)
    return "".join(f"{line}\n" for line in lines[:size]), whole


def format_stacks(stacks: Iterable[ThreadStack]) -> str:
    """As Python writes tracebacks, with lines of source where they can be found."""
    stacks = list(stacks)
    parts: list[str] = []
    for stack in stacks:
        if len(stacks) > 1:
            parts.append(f"{_title(stack)} (most recent call last):\n")
        parts += _format_frames(stack)
    return "".join(parts)


def _title(stack: ThreadStack) -> str:
    if stack.ident is None:
        return "Main thread"
    kind = "Current thread" if stack.is_current else "Thread"
    return f"{kind} {stack.ident:#x}" + (f" [{stack.name}]" if stack.name else "")


def _format_frames(stack: ThreadStack) -> Iterator[str]:
    from traceback import StackSummary

    if stack.is_cut:
        yield "  ...\n"
    if not stack.frames:
        yield "  no code of yours\n"
    summary = [(frame.file, frame.line, frame.name, None) for frame in stack.frames]
    yield from StackSummary.from_list(summary).format()


def _threads(text: str) -> Iterator[tuple[str, list[str]]]:
    """The line that names the thread, and the lines of its frames."""
    head, lines = "", list[str]()
    # What is still being written is left for later.
    for line in text[: text.rfind("\n") + 1].splitlines():
        if _THREAD.fullmatch(line) or f"{line}\n" == _INSISTED:
            if head:
                yield head, lines
            head, lines = line, []
        elif line.startswith(_FATAL):
            if head:
                yield head, lines
            head = ""
        else:
            lines.append(line)
    if head:
        yield head, lines


def _parse_thread(head: str, lines: list[str]) -> ThreadStack:
    found = [match for match in map(_FRAME.fullmatch, lines) if match]
    frames = [
        Frame(file, int(line) if line.isdigit() else 0, name) for file, line, name in map(_groups, found)
    ]
    frames.reverse()
    inside = _inside(frames)
    thread = _THREAD.fullmatch(head)
    return ThreadStack(
        ident=int(thread[2], 16) if thread else None,
        name=thread[3] if thread else None,
        is_current=thread is None or thread[1] == "Current thread",
        frames=tuple(inside),
        is_cut=len(frames) == len(inside) >= _MOST_FRAMES,
    )


def _groups(match: re.Match[str]) -> tuple[str, str, str]:
    return match[1], match[2], match[3]


def _inside(frames: list[Frame]) -> list[Frame]:
    """Without what lies outside the user's code, or tells of it."""
    while frames and frames[-1].file == _TELLING:
        frames.pop()
    entry = max((at for at, f in enumerate(frames) if (f.file, f.name) in _ENTRIES), default=-1)
    at = entry + 1
    while at < len(frames) and (frames[at].is_ours or frames[at].file.startswith(_STANDARD)):
        at += 1
    return frames[at:]
