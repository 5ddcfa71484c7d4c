"""Errors that are worth another try: told apart where the exception still is itself, in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class WorthARetry(BaseException):
    """Carries an exception that the options let try again past everything up to the runner."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class RetryOn:
    """`function`, whose exceptions of these kinds are worth another try. Travels as any callable does."""

    def __init__(self, function: Callable[..., Any], kinds: tuple[type[BaseException], ...]) -> None:
        self.function = function
        self.kinds = kinds

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        except self.kinds as error:
            raise WorthARetry(error) from None
