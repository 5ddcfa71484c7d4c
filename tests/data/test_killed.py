"""Whoever is killed, at whatever moment: nothing stays of the blocks, and who lives on has the right bytes."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from phalanx import Executor
from phalanx.errors import WorkerLost
from tests.data.tasks import checked, number_of, open_blocks, sealed
from tests.promises.programs import program

# The same code on every interpreter: what may differ stands in test_contents.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CROSSING = f"""
sys.path.insert(0, {str(ROOT)!r})
from tests.data.tasks import checked, sealed
"""


@pytest.mark.parametrize("moment", range(2))
def test_a_killed_parent_leaves_nothing(moment: int, start_method: str, tmp_path: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    main = """
    with Executor(2, start_method=METHOD) as executor:
        executor.submit(checked, sealed(0)).result()
        ready()
        while True:
            kept = list(executor.map(checked, [sealed(n, 400_000) for n in range(6)]))
            ready()
    """
    with program(tmp_path, CROSSING, main, start_method) as running:
        for _ in range(1 + moment):
            running.line()
        running.kill()
        assert running.is_all_gone()
    ours = {name for name in set(os.listdir("/dev/shm")) - before if "phalanx" in name}
    assert not ours


def test_workers_that_are_killed_at_any_moment_lose_only_their_own_items(forked: Executor) -> None:
    chance = random.Random(5)
    over, succeeded = threading.Event(), threading.Event()
    before = set(os.listdir("/dev/shm"))
    kills = lost = 0

    def kill() -> None:
        nonlocal kills
        while not over.wait(chance.uniform(0.001, 0.03)):
            # Whoever kills faster than workers start proves nothing: that is a pool that cannot start any.
            if not succeeded.wait(20):
                return
            succeeded.clear()
            pids = [each.pid for each in forked.status() if each.pid]
            if pids:
                try:
                    os.kill(chance.choice(pids), signal.SIGKILL)
                except ProcessLookupError:  # gone since
                    continue
                kills += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(25):
            futures = [
                forked.submit(checked, sealed(number, 150_000 * (1 + number % 4))) for number in range(10)
            ]
            for number, future in enumerate(futures):
                error = future.exception(20)
                if error is None:
                    assert number_of(future.result()) == number
                    succeeded.set()
                else:
                    assert isinstance(error, WorkerLost)
                    lost += 1
    finally:
        over.set()
        succeeded.set()
        killer.join()
    assert kills > 5
    assert lost <= kills
    for number in range(8):
        assert number_of(forked.submit(checked, sealed(number)).result()) == number
    assert open_blocks() < 80
    assert {name for name in set(os.listdir("/dev/shm")) - before if "phalanx" in name} == set()
