"""What is said of the processors that a process may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """How many processors this process may use.

    Attributes:
        number: At least 1: as many workers are started where nobody says how many.
        source: What set it, in words.
    """

    number: int
    source: str


CpuBudget.__module__ = "phalanx"
