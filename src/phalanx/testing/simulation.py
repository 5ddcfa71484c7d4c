"""`simulate`: the real scheduler in front of virtual workers, in virtual time.

No process is started and nothing is waited for, so that ten thousand workers and any run of bad luck are a
matter of seconds, and the same seed gives the same run on every machine.

    >>> run = simulate(workers=2, costs=[0.0002] * 1000)
    >>> run.outcomes
    {'arrived': 1000}
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phalanx._policy import Config, JobSpec, Scheduler
from phalanx.testing.virtual import World

__all__ = ["Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulated run came to. Times are virtual, but for `policy_seconds`."""

    #: Seconds from the first event to the last outcome.
    makespan: float
    #: The same if the work were spread perfectly and nothing else took time.
    ideal: float
    #: How many items came to which end ("arrived", "lost", "dropped", "failed").
    outcomes: dict[str, int]
    #: Items that came to no end, or to more than one. Anything but () is a bug of the policy.
    strays: tuple[int, ...]
    #: Times that an item was begun; more than the number of items if deaths made some run again.
    begun: int
    batches: int
    #: Batches or parts of batches that were taken back from a worker.
    steals: int
    deaths: int
    #: Events that the scheduler handled, and what that took on this machine.
    events: int
    policy_seconds: float

    @property
    def policy_seconds_per_batch(self) -> float:
        """What a batch costs the parent in decisions."""
        return self.policy_seconds / max(1, self.batches)

    @property
    def overhead(self) -> float:
        """How much longer than ideal: 0.04 is four per cent."""
        return self.makespan / self.ideal - 1.0 if self.ideal else 0.0


def simulate(
    *,
    workers: int,
    costs: Sequence[float],
    death_rate: float = 0.0,
    seed: int = 0,
    latency: float = 60e-6,
    startup: float = 0.0,
    chunksize: int | None = None,
    crash_retries: int = 0,
    max_tasks_per_child: int | None = None,
    validate: bool = False,
    scheduler: Callable[[Config], Scheduler] = Scheduler,
) -> Simulation:
    """Run one job of `len(costs)` items on virtual workers; item i takes `costs[i]` seconds.

    `death_rate`: chance that an item's worker dies under it. `latency`: seconds that a message takes, either
    way. `startup`: seconds until a started worker is ready. `validate`: check every invariant after every
    event (slow). `scheduler`: what to drive instead of the real one.
    """
    config = Config(size=workers, max_tasks_per_child=max_tasks_per_child)
    world = World(scheduler(config), costs, death_rate, random.Random(seed), latency, startup, validate)
    spec = JobSpec(0, len(costs), True, chunksize=chunksize, crash_retries=crash_retries)
    world.run(spec)
    strays = tuple(item for item, ends in enumerate(world.ends) if ends != 1)
    ideal = max(sum(costs) / workers, max(costs, default=0.0))
    return Simulation(
        makespan=world.finished - world.opened,
        ideal=ideal,
        outcomes=dict(world.outcomes),
        strays=strays,
        begun=world.begun,
        batches=world.batches,
        steals=world.steals,
        deaths=world.deaths,
        events=world.events,
        policy_seconds=world.policy_seconds,
    )
