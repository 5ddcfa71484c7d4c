"""The end of the interpreter: no new work, what was accepted is finished, and no process is left."""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import TYPE_CHECKING

from phalanx._policy import Mode

if TYPE_CHECKING:
    from phalanx._api.session import Session

_begun = False
_sessions: weakref.WeakKeyDictionary[Session, Mode] = weakref.WeakKeyDictionary()


def has_begun() -> bool:
    """Whether the interpreter is ending."""
    return _begun


def end_at_exit(session: Session, mode: Mode) -> None:
    """End this session's workers when the interpreter ends: after its accepted work is done, or at once."""
    _sessions[session] = mode


def _begin() -> None:
    """Called before the interpreter joins threads that are not daemons, such as an executor's driver."""
    global _begun
    _begun = True
    if not all(session.engine.ended.is_done for session in list(_sessions)):
        _load_errors()
    for session, mode in list(_sessions.items()):
        if not session.foreign:
            session.close(mode)
            session.arm()


def _load_errors() -> None:
    """Ours derive from a standard class whose module registers for the end, which it may not any more."""
    register = getattr(threading, "_register_atexit", None)
    threading._register_atexit = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    try:
        import phalanx._base.errors  # noqa: F401
    finally:
        threading._register_atexit = register  # type: ignore[attr-defined]


def _end() -> None:
    for session in list(_sessions):
        session.join()


# Private, but what concurrent.futures uses for the same purpose; atexit handlers run too late, after threads
# were joined, and cannot start any.
_register = getattr(threading, "_register_atexit", atexit.register)
_register(_begin)
atexit.register(_end)
