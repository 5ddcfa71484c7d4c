"""What workers are asked to do with large objects, importable from every kind of worker."""

from __future__ import annotations

import os
import resource
import signal
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.random  # by now: a worker that is forked while a thread loads it has half of it

import phalanx
from tests.promises.supervised import Marker

Array = np.ndarray[Any, Any]

KEPT: list[Any] = []


def sealed(number: int, size: int = 200_000) -> Array:
    """Bytes that differ for each number, with their checksum in the last four."""
    content = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
    content[:8] = np.frombuffer(number.to_bytes(8, "little"), dtype=np.uint8)
    content[-4:] = np.frombuffer(zlib.crc32(content[:-4]).to_bytes(4, "little"), dtype=np.uint8)
    return content


def is_sound(content: Any, number: int | None = None) -> bool:
    """Whether not a byte of it is wrong; and whether it is this one."""
    raw = memoryview(content)
    right = zlib.crc32(raw[:-4]) == int.from_bytes(raw[-4:], "little")
    return right and (number is None or int.from_bytes(raw[:8], "little") == number)


def checked(content: Array) -> Array:
    """The argument itself. Raises if a byte of it is wrong."""
    if not is_sound(content):
        raise AssertionError("wrong bytes have come")
    return content


def number_of(content: Any) -> int:
    """Which one it is. Raises if a byte of it is wrong."""
    if not is_sound(content):
        raise AssertionError("wrong bytes have come")
    return int.from_bytes(memoryview(content)[:8], "little")


def echo(obj: Any) -> Any:
    return obj


def twice(obj: Any) -> tuple[Any, Any]:
    return obj, obj


def both(left: Any, right: Any) -> tuple[Any, Any]:
    return left, right


def scribble(content: Array) -> Array:
    """Changes its argument, and says what it was and what it has become."""
    before = content.copy()
    content[:] = 255
    return np.stack([before, content])


def keep(content: Array) -> int:
    """The argument stays in the worker for good."""
    KEPT.append(content)
    return number_of(content)


def kept_numbers(_: Any) -> tuple[int, list[int]]:
    """What this worker keeps, looked at again."""
    return os.getpid(), [number_of(content) for content in KEPT]


@dataclass
class Sample:
    """Arrays in the fields of an object."""

    name: str
    left: Array
    right: list[Array]


def swap(sample: Sample) -> Sample:
    return Sample(sample.name[::-1], sample.right[0], [sample.left])


def made(number: int) -> Array:
    return sealed(number)


def filled(megabytes: int) -> Array:
    return np.full(megabytes * 125_000, 1.5)


class Spoiling:
    """Fails in some way, after it has overwritten its argument, until it has been called so often."""

    def __init__(self, path: Path, failures: int, way: str) -> None:
        self.marker = Marker(path)
        self.failures = failures
        self.way = way

    def __call__(self, content: Array) -> Array:
        checked(content)
        result = content.copy()
        if self.marker.mark() <= self.failures:
            content[:] = 0
            if self.way == "error":
                raise ConnectionError("once more")
            if self.way == "SIGKILL":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return result


def fail_with(content: Array) -> None:
    raise ValueError("no good", content)


def doubled_then_die(content: Array) -> None:
    content *= 2
    os.kill(os.getpid(), signal.SIGKILL)


def refuse_to_be(content: Array) -> None:
    raise ValueError("cannot be rebuilt")


class Unbuildable:
    """Large, and raises when it is rebuilt."""

    def __init__(self, content: Array) -> None:
        self.content = content

    def __reduce__(self) -> Any:
        return refuse_to_be, (self.content,)


def unbuildable(content: Array) -> Unbuildable:
    return Unbuildable(content)


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the listing's own
            continue
    return found


def open_blocks(_: Any = None) -> int:
    """How many descriptors of blocks this process has."""
    return sum("phalanx-block" in target for target in descriptors())


def mapped_blocks() -> int:
    """How many mappings of blocks this process has."""
    return Path("/proc/self/maps").read_text(encoding="utf-8").count("phalanx-block")


def use_up_descriptors(spare: int) -> None:
    """From now on this process can open only so many more, of modules too, but for those of these tasks."""
    np.random.default_rng()
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # What is free below the highest counts as well.
    while (number := os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)) < highest:
        pass
    os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number + spare, limit))


def fork_and_look(content: Array) -> tuple[bool, Array]:
    """A child of the worker changes its copy; what it saw and that it changed nothing here."""
    pid = os.fork()
    if not pid:
        try:
            right = is_sound(content)
            content[:] = 0
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and is_sound(content), content


def die(content: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def linger(content: Any) -> None:
    time.sleep(60)


def hold(content: Array, marker: Marker) -> None:
    """Leaves a mark and does not end by itself."""
    checked(content)
    marker.mark()
    time.sleep(60)


def made_array(number: int) -> Any:
    """An array in shared memory that the worker does not keep."""
    made = phalanx.zeros(2, int)
    made[0] = number
    return made
