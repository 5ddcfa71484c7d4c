"""Tasks that print and log."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings

from phalanx import worker


def say(x: int) -> int:
    print("line", x)
    print("begun", end=" ")
    print("and ended", x)
    return x


def say_in_pieces(x: int) -> int:
    for part in ("a", "b", str(x)):
        sys.stdout.write(part)
    sys.stdout.flush()
    return x


def say_much(x: int) -> int:
    print("\n".join(f"{x}: {n}" for n in range(50)))
    return x


def say_from_threads(x: int) -> int:
    def talk(name: str) -> None:
        for n in range(20):
            print(name, n, end="")
            print(" of", x)

    threads = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return x


def complain(x: int) -> int:
    sys.stderr.write(f"hm {x}\n")
    return x


def warn(x: int) -> int:
    warnings.warn(f"careful {x}", stacklevel=1)
    return x


def complain_and_fail(x: int) -> None:
    for n in range(30):
        print("complaint", n, file=sys.stderr)
    raise ValueError(x)


def complain_and_die(x: int) -> None:
    for n in range(30):
        print("complaint", n, file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)


def log(x: int) -> int:
    logger = logging.getLogger("talking.inner")
    logger.debug("debug %d", x)
    logger.info("info %d", x, extra={"more": {"a": x}})
    try:
        raise ValueError(x)
    except ValueError:
        logger.exception("failed")
    logging.getLogger("talking.quiet").info("not this")
    return x


def hello() -> None:
    print("hello from", worker.slot)


def bye() -> None:
    hello()
    worker.at_exit(print, "bye")


def where(_: int) -> tuple[bool, int, str]:
    return sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding


def write_bytes(_: int) -> None:
    print(b"", file=sys.stdout)
    sys.stdout.write(b"x")  # type: ignore[arg-type]
