"""A worker's traceback as the cause of its exception, of exactly the class that the standard library uses."""

from __future__ import annotations


def attach_pool_trace(error: BaseException, text: str) -> None:
    """As `multiprocessing.Pool` does."""
    from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]

    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')


def attach_executor_trace(error: BaseException, text: str) -> None:
    """As `concurrent.futures.ProcessPoolExecutor` does."""
    from concurrent.futures.process import _RemoteTraceback

    error.__cause__ = _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]
