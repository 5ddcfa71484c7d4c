"""The rows of the table, in its order."""

from __future__ import annotations

from benchmarks.measure import Row
from benchmarks.rows import calls, data, locks, maps, policy, pools, streams

ROWS: dict[str, Row] = {
    row.name: row
    for row in (*maps.ROWS, *calls.ROWS, *streams.ROWS, *data.ROWS, *pools.ROWS, *locks.ROWS, *policy.ROWS)
}
