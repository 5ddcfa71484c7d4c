"""What workers print and log, shown where the parent's own prints and records go."""

from __future__ import annotations

import sys
from typing import Any

from phalanx._base.output import RECORD, STDOUT


def show(kind: int, content: Any) -> None:
    """Lines go to `sys.stdout` or `sys.stderr` as they are now, in one piece; a record to the logger of its name.

    What they raise comes through.
    """
    if kind == RECORD:
        import logging

        record = logging.makeLogRecord(content)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
        return
    stream = sys.stdout if kind == STDOUT else sys.stderr
    if stream is not None:  # a program without a console has none
        stream.write(content)
        stream.flush()
