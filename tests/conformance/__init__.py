"""CPython's own tests for pools and executors, run against ours.

The tests come from the interpreter's installed `test` package and are not changed: `pool_suites`, `executor_suites`
and `future_suites` derive classes that replace only the factories (`Pool`, `executor_type`, ...).  Which tests do not
fit, and why, stands in `pool_exclusions` and `executor_exclusions`; where the standard behaviour is what this library
exists to remove, the inverse test stands beside the table and runs in the original's place.

The harness proves itself: ``PHALANX_CONFORMANCE_BASELINE=1`` runs everything against the standard library instead,
where all tests must pass unexcluded.  ``PHALANX_CONFORMANCE_ALL=1`` runs the excluded tests against ours, to see
which rows of the tables are still needed.
"""
