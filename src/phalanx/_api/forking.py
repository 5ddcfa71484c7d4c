"""What is said to those who chose `fork` while threads are running."""

from __future__ import annotations

import sys
import threading
import warnings

_OURS = "phalanx-"
_has_warned = [False]


def warn_of_threads(method: str | None) -> None:
    """`method`: the option that was given, if any; what is only the default of `multiprocessing` was nobody's choice.

    Once for the program: a RuntimeWarning that names the threads.
    """
    if method != "fork" or _has_warned[0]:
        return
    me = threading.current_thread()
    others = [
        thread.name
        for thread in threading.enumerate()
        if thread is not me and not thread.name.startswith(_OURS)
    ]
    if not others:
        return
    _has_warned[0] = True
    warnings.warn(
        f"workers are forked while other threads are running ({', '.join(sorted(others))}): a lock that one of them "
        'holds in that moment stays locked in the workers for ever. start_method="forkserver" has no such danger',
        RuntimeWarning,
        stacklevel=_frames_of_ours(),
    )


def _frames_of_ours() -> int:
    """How many levels up the user's code is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("phalanx."):
        frame, level = frame.f_back, level + 1
    return level
