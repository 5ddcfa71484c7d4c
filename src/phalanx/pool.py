"""`multiprocessing.pool` as it should be."""

from multiprocessing.pool import (  # type: ignore[attr-defined]
    ExceptionWithTraceback,
    MaybeEncodingError,
    RemoteTraceback,
)

from phalanx._api.pool import IMapIterator, Pool, ThreadPool
from phalanx._api.results import AsyncResult, MapResult

ApplyResult = AsyncResult
IMapUnorderedIterator = IMapIterator

__all__ = [
    "ApplyResult",
    "AsyncResult",
    "ExceptionWithTraceback",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
]
