"""Workers without a process of their own."""

from __future__ import annotations

from phalanx._base.identity import WorkerIdentity, WorkerSetup
from phalanx._launch.local import InlineLauncher


def test_a_worker_that_is_started_rings() -> None:
    """It is ready at once: whoever started it in the middle of driving would else wait for something new first."""
    rang: list[str] = []
    launcher = InlineLauncher(lambda *_: lambda: False, WorkerSetup(None), lambda: rang.append("ring"))
    _, end = launcher.open_channel()
    launcher.start(WorkerIdentity(1, 0, 0), end)
    assert rang == ["ring"]
    assert [news.worker for news in launcher.news] == [1]
    assert launcher.run_here() is False
    launcher.close()
