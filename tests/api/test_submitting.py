"""A thread that only submits still looks after the workers: they are not idle until it is through."""

from __future__ import annotations

import select
from typing import Any

from phalanx import Executor


def test_results_are_taken_in_between_by_who_goes_on_submitting() -> None:
    with Executor(1, start_method="fork") as executor:
        executor.submit(abs, 0).result()
        session: Any = executor._shut.session
        background = session.driver.background
        # As if its thread never came to run, as with a caller that does not let go of the interpreter.
        background.arm = lambda: None
        try:
            first = executor.submit(abs, -1)
            [worker] = session.engine.workers.values()
            select.select([worker.channel.fileno()], [], [], 10)
            assert not first.done()
            later = [executor.submit(abs, -number) for number in range(1000)]
            assert first.done()
        finally:
            del background.arm
        assert [future.result() for future in later] == list(range(1000))
