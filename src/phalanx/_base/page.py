"""The words of a worker's page: eight native 64-bit words that it shares with its parent.

One word per fact, each with one writer. A worker stores `CLAIM` and *then* reads `LIMIT`; the parent stores
`LIMIT` and *then* reads `CLAIM`. So whatever order the two come in, both know which items will not start.
"""

from __future__ import annotations

CURRENT = 0
"""Written by the worker: the sequence number of the item it last began, plus one."""
CLAIM = 1
"""Written by the worker: it may begin items below this sequence number without looking again."""
LIMIT = 2
"""Written by the parent: the worker may not claim at or beyond this sequence number."""
START_NS = 3
"""Written by the worker before `CURRENT`: when the current item (or, while `TIMED` is 0, the claim that it is
in) began, in nanoseconds of the monotonic clock. Whoever reads `CURRENT` first and this second may take it for
the start of a later item, never of an earlier one."""
TIMED = 4
"""Written by the parent: 1 if the start of every single item is wanted."""
ORDERLY = 5
"""Written by the worker last of all: 1 if it ends as it was told to, and what it has started may stay."""

NO_LIMIT = 2**64 - 1
PAGE_WORDS = 8
PAGE_BYTES = 8 * PAGE_WORDS
