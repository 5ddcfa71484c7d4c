"""A job that grows while the state is rebuilt."""

from __future__ import annotations

from typing import Any

import pytest

from phalanx import Pool
from phalanx._engine.arrivals import Arrivals
from tests.engine.tasks import square


@pytest.mark.parametrize("seals", [False, True])
def test_what_is_added_while_the_state_is_rebuilt_is_not_lost(
    seals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a feeder adds it, without the lock, between two looks at how many items there are."""
    with Pool(1, backend="threads") as pool:
        results = pool.imap_unordered(square, iter(range(8)), 4)
        job: Any = results._job
        assert [next(results) for _ in range(8)] == [x * x for x in range(8)]
        session = pool._session
        grown = session.open_job(square, job.source.__class__(), 0, total=0, sealed=False)
        missing = Arrivals.missing

        def growing(self: Arrivals, total: int) -> Any:
            found = list(missing(self, total))
            if self is grown.arrivals and grown.total < 4:
                grown.source.extend(range(4))  # type: ignore[attr-defined]
                grown.total = 4
                grown.sealed = seals
            return iter(found)

        monkeypatch.setattr(Arrivals, "missing", growing)
        session.engine.doubt()
        session.driver.glance()
        monkeypatch.setattr(Arrivals, "missing", missing)
        session.engine.settle()
        grown.sealed = False
        session.seal(grown, 4)
        assert session.wait_for(grown, 10)
        assert grown.arrived() == 4
