"""`multiprocessing.pool` as it should be."""

from phalanx._api.pool import IMapIterator, Pool, ThreadPool
from phalanx._api.results import AsyncResult, MapResult

ApplyResult = AsyncResult

__all__ = ["ApplyResult", "AsyncResult", "IMapIterator", "MapResult", "Pool", "ThreadPool"]
