"""How many workers there are when nobody says, and what each of them may use."""

from __future__ import annotations

from phalanx._base.budget import CpuBudget
from phalanx._base.options import Options
from phalanx._platform.budget import read_budget


def cpu_budget() -> CpuBudget:
    """How many processors this process may use, and what set that number.

    As many workers are started where you do not say how many. It is the least of:

    - the processors of the machine, and those that the process is bound to (`os.sched_getaffinity`);
    - the CPU quotas of its container or service and of all that this is part of (cgroups, version 1 and 2),
      rounded up to whole processors;
    - what a job scheduler has set: ``SLURM_CPUS_PER_TASK``, ``SLURM_CPUS_ON_NODE`` or else
      ``SLURM_JOB_CPUS_PER_NODE``; ``PBS_NCPUS``, and in jobs of PBS ``NCPUS``.

    The environment variable ``PHALANX_WORKERS``, an integer of at least 1, overrides all of these. Inside a worker
    it is at most the worker's share: the budget of the process that made the pool, divided by the number of
    workers. So pools inside of pools share the processors.

    `multiprocessing.cpu_count()` still says how many the machine has.

    Example:
        >>> from phalanx import cpu_budget
        >>> budget = cpu_budget()
        >>> budget.number >= 1
        True
        >>> print("This was set by:", budget.source)  # doctest: +ELLIPSIS
        This was set by: ...

    Raises:
        ValueError: ``PHALANX_WORKERS`` is something else than an integer of at least 1.
    """
    return read_budget()


def default_size(options: Options) -> int:
    """The number that was asked for; else the processors that this process may use, or 1 for `serial`."""
    if options.backend == "serial":
        return 1
    return options.size or read_budget().number


def worker_share(options: Options, size: int) -> int:
    """How many processors each of `size` workers may use, for pools of its own."""
    budget = read_budget().number
    return budget if options.backend == "serial" else max(1, budget // size)


cpu_budget.__module__ = "phalanx"
