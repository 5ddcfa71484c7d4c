"""A few seconds of `make soak`, so that it works when somebody wants an hour of it; and its ledger can find fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.data import cross
from tests.soak.ledger import Ledger
from tests.soak.rounds import Tally


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_some_seconds_under_fire() -> None:
    tally = soak(4.0, 0.08, ["fork"])
    assert tally.is_clean, str(tally)
    assert tally.kills > 0


def test_the_ledger_tells_a_promise_kept_from_one_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    second = 1_000_000_000
    # Item 1: its first process was killed 50 ms after it had ended; item 2: a second after; item 3: not at all.
    for item, process, ended in [
        (1, 7, 9),
        (1, 8, 20),
        (2, 7, 8),
        (2, 8, 20),
        (3, 9, 9),
        (3, 8, 20),
        (4, 8, 20),
    ]:
        monkeypatch.setattr("tests.soak.ledger.monotonic_ns", lambda at=ended * second: at)
        monkeypatch.setattr("os.getpid", lambda number=process: number)
        ledger.note(item)
    assert ledger.repeated({7: 9 * second + second // 20}) == (1, 2)


def test_a_tally_with_a_fault_is_not_clean() -> None:
    assert Tally(items=3, kills=2, lost_to_kills=1).is_clean
    for fault in ("lost", "wrong", "repeated", "hangs", "leaks"):
        assert not Tally(**{fault: 1}).is_clean


@pytest.mark.slow
def test_some_thousand_large_transfers() -> None:
    figures = cross(2_000)
    assert figures.is_clean, str(figures)
    assert figures.transfers > 1_900
