"""The child: main function, loop, running of calls. Loads nothing of the parent's policy, engine or API."""

from phalanx._worker.main import run_inline, run_process, run_thread

__all__ = ["run_inline", "run_process", "run_thread"]
