"""Tests of CPython's about pools that do not fit ours, each with its reason; and the inverse tests."""

from __future__ import annotations

from tests.conformance.exclusions import Excluded

ROWS: list[Excluded] = [
    Excluded(
        "TestPoolNotLeakOnFailure",
        "test_release_unused_processes",
        "hands the pool a context whose processes are fakes; ours are started by a launcher, not by context.Process",
    ),
]

INVERSES: dict[str, type] = {}
"""By CPython's class: where the tests that replace its inverted ones are."""
