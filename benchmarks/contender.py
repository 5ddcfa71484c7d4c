"""One contender in a process of its own: ``python -m benchmarks.contender ROW CONTENDER PARAMS``.

Started once per row and contender, it opens its pool, then does one round per line that it reads. So no
peer's threads, heap or leftover processes are in another's way, and the rounds of all can be interleaved.
Answers go to a private copy of standard output: what workers print cannot disturb it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any, TextIO


def serve(row_name: str, contender: str, params: dict[str, Any], answers: TextIO) -> None:
    from benchmarks.rows import ROWS  # here, and not in the workers that import this module as their main one

    def answer(**what: Any) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    try:
        with ROWS[row_name].contenders[contender](params) as play_round:
            answer(ready=True)
            while sys.stdin.readline():
                gc.collect()
                answer(reading=play_round())
    except ImportError as missing:
        answer(trouble=f"not installed ({missing.name})")
    except Exception as error:
        answer(trouble=f"{type(error).__name__}: {error}"[:80])
        raise


def main() -> None:
    row_name, contender, params = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")  # close-on-exec, as every descriptor that Python makes
    os.dup2(2, 1)
    serve(row_name, contender, json.loads(params), answers)


if __name__ == "__main__":
    main()
