"""How many processors this process may use: the least of what machine, cgroups and job schedulers say.

What the schedulers' variables mean, by their manuals:

- ``SLURM_CPUS_PER_TASK``: what ``--cpus-per-task`` asked for, if it did. ``SLURM_CPUS_ON_NODE``: what the job (or
  its step) has on this node. ``SLURM_JOB_CPUS_PER_NODE``: the same for each node of the job, as in ``40(x2),8``;
  batch scripts and interactive shells run on the first.
- ``NCPUS``, of PBS: "number of threads, defaulting to number of CPUs, on the vnode". A common name, so it counts
  in jobs of PBS only. ``PBS_NCPUS``, at some sites: the processors of the whole job, on all its nodes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from phalanx._base.budget import CpuBudget
from phalanx._platform.cgroups import cpu_quotas
from phalanx._platform.shares import own_share

OVERRIDE = "PHALANX_WORKERS"
_FIRST_NODE = re.compile(r"(\d+)(\(x\d+\))?(,|$)")


def read_budget() -> CpuBudget:
    """As it is now, for this thread."""
    return budget_of(
        os.environ,
        machine=os.cpu_count() or 1,
        allowed=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        quotas=cpu_quotas(),
        share=own_share(),
    )


def budget_of(
    environ: Mapping[str, str],
    *,
    machine: int,
    allowed: int | None = None,
    quotas: Iterable[tuple[int, str]] = (),
    share: int | None = None,
) -> CpuBudget:
    """The same from all that can be read; where several say the same number, the first of them is the source.

    `machine`: the processors that there are. `allowed`: those that this process is bound to. `quotas`: numbers
    of processors, and the files that say them. `share`: what it has of its parent's, if it is a worker.
    """
    override = environ.get(OVERRIDE)
    if override is not None:
        said = [(_natural_override(override), f"the environment variable {OVERRIDE}")]
    else:
        said = [(machine, "all processors of this machine")]
        if allowed is not None:
            said.append((allowed, "the processors that this process is bound to (CPU affinity)"))
        said += [(number, f"the CPU quota of this container or service ({path})") for number, path in quotas]
        said += [(number, f"{name}, set by Slurm") for number, name in _by_slurm(environ)]
        said += [(number, f"{name}, set by PBS") for number, name in _by_pbs(environ)]
    if share is not None:
        said.append((share, "this worker's share of what its pool may use"))
    number, source = min(said, key=lambda each: each[0])
    return CpuBudget(max(number, 1), source)


def _natural_override(text: str) -> int:
    number = _natural(text)
    if number is None:
        raise ValueError(
            f"the environment variable {OVERRIDE} must be the number of workers, an integer >= 1, "
            f"not {text[:40]!r}; unset it for the default"
        )
    return number


def _by_slurm(environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    yield from _numbers(environ, "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    name = "SLURM_JOB_CPUS_PER_NODE"
    first = _FIRST_NODE.match(environ.get(name, ""))
    # It says less about this node than the other, which is there on every node but not in every shell.
    if first is not None and "SLURM_CPUS_ON_NODE" not in environ:
        yield int(first[1]), name


def _by_pbs(environ: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    yield from _numbers(environ, "PBS_NCPUS")
    if "PBS_JOBID" in environ:
        yield from _numbers(environ, "NCPUS")


def _numbers(environ: Mapping[str, str], *names: str) -> Iterator[tuple[int, str]]:
    """Those that are there and understood: what else somebody may have put there is not ours to judge."""
    for name in names:
        number = _natural(environ.get(name, ""))
        if number is not None:
            yield number, name


def _natural(text: str) -> int | None:
    text = text.strip()
    return int(text) or None if text.isdecimal() else None
