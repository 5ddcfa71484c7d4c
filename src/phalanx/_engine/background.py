"""The background thread of an engine: drives while work is outstanding and no user's thread does.

It exists only while it is needed. While calls come and go faster than its tick it sleeps from tick to tick
and changes nothing; when a thread drives for longer, it sleeps on the seat until that thread leaves; when
nothing is outstanding, it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from phalanx._engine.waiting import wake

if TYPE_CHECKING:
    from phalanx._engine.driver import Driver

# Work whose caller has gone elsewhere is taken over within this time, in seconds.
TICK_SECONDS = 0.001
# An idle thread is kept this long for the next submit, which would otherwise pay for a new one.
LINGER_SECONDS = 0.05


class Background:
    """At most one thread per engine."""

    def __init__(self, driver: Driver, keeps_interpreter: bool) -> None:
        self._driver = driver
        self._daemon = not keeps_interpreter
        self.armed = False
        self._retired = False
        self.on_end: Callable[[], object] = lambda: None
        """Called when the thread ends, perhaps because the engine has."""
        self.thread = 0
        """Identifier of the thread while it runs: what the driver compares to tell whose turn it is."""
        # Reentrant: a collection in here may call a `__del__` that submits.
        self._starting = threading.RLock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        """Make sure that what is outstanding gets done, also if nobody waits for it."""
        if self.armed:
            return
        if self._starting._is_owned():  # type: ignore[attr-defined]
            return  # whoever we interrupt goes on to see to it
        with self._starting:
            thread = self._thread
            if thread is None or not thread.is_alive():
                self._thread = thread = threading.Thread(
                    target=self._run, name="phalanx-driver", daemon=self._daemon
                )
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; `join` will drive
                    self._thread = None
                    return
            self.armed = True
        wake(self._bell)

    def retire(self) -> None:
        """The engine has ended: so does the thread, and whoever calls this waits for it."""
        self._retired = True
        thread = self._thread
        wake(self._bell)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        self.thread = threading.get_ident()
        while not self._retired:
            if self._driver.engine.is_outstanding():
                self._attend()
            elif self._driver.engine.ended.is_done or not self._park():
                break
        if self._driver.engine.ended.is_done:
            # Whoever drove to the end may be at it still, with all that is now given back.
            self._driver.wait_until_left()
            self.on_end()

    def _park(self) -> bool:
        """Sleep until armed. False when the thread ends."""
        self.armed = False
        if self._driver.engine.is_outstanding():
            self.armed = True
            return True
        if self._bell.acquire(timeout=LINGER_SECONDS):
            return True
        with self._starting:
            if self.armed or self._driver.engine.is_outstanding():
                self.armed = True
                return True
            self._thread = None
            return False

    def _attend(self) -> None:
        """See for one tick whether somebody drives; if nobody does, drive."""
        driver = self._driver
        activity, who = driver.activity, driver.current_driver()
        self._bell.acquire(timeout=TICK_SECONDS)
        if driver.current_driver() is None:
            if driver.activity == activity:
                driver.drive_in_background(self)
        elif driver.current_driver() is who:
            driver.wait_until_left()

    @property
    def is_done(self) -> bool:
        """Whether to leave the seat."""
        return bool(self._driver.knocks) or not self._driver.engine.is_outstanding()
