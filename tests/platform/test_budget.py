"""The budget is the least that anybody says, and tells who said it."""

from __future__ import annotations

import os

import pytest

from phalanx._base.budget import CpuBudget
from phalanx._platform.budget import budget_of, read_budget

QUOTA = "/sys/fs/cgroup/cpu.max"


def test_where_nothing_is_said_all_processors_of_the_machine_are_there() -> None:
    assert budget_of({}, machine=8) == CpuBudget(8, "all processors of this machine")
    assert budget_of({}, machine=8, allowed=8).source == "all processors of this machine"


def test_affinity_counts() -> None:
    budget = budget_of({}, machine=8, allowed=3)
    assert budget == CpuBudget(3, "the processors that this process is bound to (CPU affinity)")


def test_of_several_quotas_the_least_counts_and_is_named() -> None:
    budget = budget_of({}, machine=8, allowed=8, quotas=[(6, "/a/b/cpu.max"), (2, QUOTA), (4, "/other")])
    assert budget == CpuBudget(2, f"the CPU quota of this container or service ({QUOTA})")


def test_a_quota_above_what_there_is_changes_nothing() -> None:
    assert budget_of({}, machine=8, allowed=4, quotas=[(16, QUOTA)]).number == 4


@pytest.mark.parametrize(
    ("environ", "number", "name"),
    [
        ({"SLURM_CPUS_PER_TASK": "4"}, 4, "SLURM_CPUS_PER_TASK"),
        ({"SLURM_CPUS_ON_NODE": "12"}, 12, "SLURM_CPUS_ON_NODE"),
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "12"}, 4, "SLURM_CPUS_PER_TASK"),
        ({"SLURM_JOB_CPUS_PER_NODE": "8"}, 8, "SLURM_JOB_CPUS_PER_NODE"),
        ({"SLURM_JOB_CPUS_PER_NODE": "8(x2)"}, 8, "SLURM_JOB_CPUS_PER_NODE"),
        ({"SLURM_JOB_CPUS_PER_NODE": "40(x2),8"}, 40, "SLURM_JOB_CPUS_PER_NODE"),
        ({"SLURM_JOB_CPUS_PER_NODE": "8,40(x12)"}, 8, "SLURM_JOB_CPUS_PER_NODE"),
        ({"SLURM_JOB_CPUS_PER_NODE": "8,40", "SLURM_CPUS_ON_NODE": "40"}, 40, "SLURM_CPUS_ON_NODE"),
    ],
)
def test_slurm_counts(environ: dict[str, str], number: int, name: str) -> None:
    assert budget_of(environ, machine=64) == CpuBudget(number, f"{name}, set by Slurm")


@pytest.mark.parametrize(
    ("environ", "number", "name"),
    [
        ({"PBS_NCPUS": "16"}, 16, "PBS_NCPUS"),
        ({"PBS_JOBID": "7.host", "NCPUS": "6"}, 6, "NCPUS"),
        ({"PBS_JOBID": "7.host", "NCPUS": "24", "PBS_NCPUS": "48"}, 24, "NCPUS"),
    ],
)
def test_pbs_counts(environ: dict[str, str], number: int, name: str) -> None:
    assert budget_of(environ, machine=64) == CpuBudget(number, f"{name}, set by PBS")


@pytest.mark.parametrize(
    "environ",
    [
        {"NCPUS": "2"},
        {"SLURM_CPUS_PER_TASK": ""},
        {"SLURM_CPUS_PER_TASK": "0"},
        {"SLURM_CPUS_ON_NODE": "four"},
        {"SLURM_JOB_CPUS_PER_NODE": "many"},
        {"SLURM_JOB_CPUS_PER_NODE": "2x"},
        {"PBS_NCPUS": "-1"},
    ],
)
def test_what_is_no_schedulers_word_or_is_not_understood_does_not_count(environ: dict[str, str]) -> None:
    assert budget_of(environ, machine=64).number == 64


@pytest.mark.parametrize("number", [1, 5, 200])
def test_phalanx_workers_overrides_all_that_the_system_says(number: int) -> None:
    environ = {"PHALANX_WORKERS": f" {number}\n", "SLURM_CPUS_PER_TASK": "4"}
    budget = budget_of(environ, machine=64, allowed=8, quotas=[(2, QUOTA)])
    assert budget == CpuBudget(number, "the environment variable PHALANX_WORKERS")


@pytest.mark.parametrize("text", ["", "0", "-2", "2.5", "all", "1_0", "9" * 100 + "x"])
def test_a_wrong_override_is_refused_and_named(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"PHALANX_WORKERS must be .* an integer >= 1, not .*unset"
    ) as caught:
        budget_of({"PHALANX_WORKERS": text}, machine=8)
    assert len(str(caught.value)) < 200


def test_a_workers_share_counts_even_against_the_override_that_it_has_inherited() -> None:
    mine = CpuBudget(1, "this worker's share of what its pool may use")
    assert budget_of({}, machine=8, share=1) == mine
    assert budget_of({"PHALANX_WORKERS": "8"}, machine=8, share=1) == mine
    assert budget_of({}, machine=8, allowed=2, share=4).number == 2


def test_there_is_always_one() -> None:
    assert budget_of({}, machine=8, allowed=0).number == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no processes")
def test_binding_this_process_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHALANX_WORKERS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert read_budget().number == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= read_budget().number <= len(before)
