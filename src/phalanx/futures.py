"""Drop-in for `concurrent.futures`: the executor by its standard name."""

from phalanx._api.executor import Executor as ProcessPoolExecutor

__all__ = ["ProcessPoolExecutor"]
