"""Sessions that a forked child inherits: they belong to its parent, and the child must touch nothing of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phalanx._api.session import Session


class ForkGuard:
    """Shuts a session in a forked child."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def close(self) -> None:
        """Called in the child."""
        self._session.foreign = True
        self._session.is_open = False
        self._session.engine.poller.close_in_child()
