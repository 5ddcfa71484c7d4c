"""Files that can be told apart on the other side, a sender that cuts streams, and a process with no room."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from phalanx._wire.frames import BLOCK, HEADER_SIZE, frame_size, pack_block


@contextmanager
def marked_files(marks: Iterable[int]) -> Iterator[dict[int, int]]:
    """For each of these numbers the descriptor of a file that says it."""
    files: dict[int, int] = {}
    try:
        for mark in marks:
            files[mark] = os.memfd_create(f"mark-{mark}", os.MFD_CLOEXEC)
            os.write(files[mark], b"%d" % mark)
        yield files
    finally:
        for number in files.values():
            os.close(number)


def mark_of(descriptor: int) -> int:
    """What the file says; closes the descriptor, which must not reach programs that we start."""
    assert not os.get_inheritable(descriptor)
    mark = int(os.pread(descriptor, 20, 0))
    os.close(descriptor)
    return mark


def block(mark: int) -> bytes:
    """The frame that tells of a file of `marked_files`."""
    return pack_block(mark, 4096)


def descriptors_in_use() -> set[str]:
    """What this process holds, by number and target."""
    held = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            held.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:  # the one that the listing itself used
            continue
    return held


def sends(stream: list[bytes], files: dict[int, int], step: int) -> Iterator[tuple[bytes, list[int]]]:
    """What to send, at most `step` bytes at once, with which descriptors, for these frames."""
    for frame in stream:
        is_block = frame[HEADER_SIZE - 1] == BLOCK
        assert frame_size(frame) == len(frame)
        for at in range(0, len(frame), step):
            mark = int.from_bytes(frame[HEADER_SIZE : HEADER_SIZE + 8], "little")
            yield frame[at : at + step], [files[mark]] if is_block and not at else []


def send_cut(
    sock: socket.socket,
    stream: list[bytes],
    files: dict[int, int],
    step: int,
    after_each: Callable[[], object] = lambda: None,
) -> None:
    """Send these frames in such pieces; waits where the socket is full."""
    for data, numbers in sends(stream, files, step):
        sent = socket.send_fds(sock, [data], numbers) if numbers else sock.send(data)
        if sent < len(data):
            sock.sendall(data[sent:])
        after_each()


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """This process cannot get another one meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
