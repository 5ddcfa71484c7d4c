"""From options to a launcher: the one place where a backend is chosen and handed the worker's main function."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing import process
from typing import Any

from phalanx._api.installing import install, is_installed
from phalanx._api.sizes import worker_share
from phalanx._base.checks import environment
from phalanx._base.identity import WorkerSetup
from phalanx._base.options import Options
from phalanx._base.seams import Launcher
from phalanx._platform.blas import ThreadLimit
from phalanx._platform.pages import LocalPages, SharedPages
from phalanx._platform.poller import Poller

Inherited = tuple[Callable[..., Any], Sequence[Any]]


def make_launcher(options: Options, poller: Poller, size: int, inherited: Inherited | None) -> Launcher:
    """The launcher for these options and so many workers; their initializer stands in its setup.

    `inherited`: function and items of the one call that the workers are for, if they can have them by being forked.
    """
    share = worker_share(options, size)
    if options.backend != "processes":
        return _make_local(options, poller, share)
    from phalanx._launch import ContextLauncher, ForkLauncher
    from phalanx._worker import run_process
    from phalanx._worker.enclosed import Enclosed

    method = options.start_method or multiprocessing.get_start_method()
    pages = SharedPages()
    try:
        threads = ThreadLimit(options.blas_threads or share, options.blas_threads is not None)
        setup = WorkerSetup(pages, options.initializer, options.initargs, share, threads=threads)
        if options.capture != "inherit":
            setup.capture = options.capture, _levels()
        if method == "fork":
            setup.inherited = inherited
            return ForkLauncher(run_process, setup)
        _allow_children()
        if options.initializer is not None:
            setup.initializer, setup.initargs = Enclosed(options.initializer, options.initargs), ()
        if method == "forkserver":
            from phalanx._launch.context import preload

            preload("phalanx._api.process")  # processes of the user's own may come from it as well
        return ContextLauncher(run_process, setup, method, install if is_installed() else None)
    except BaseException:
        pages.close()
        raise


def environment_for(options: Options) -> Callable[[int], dict[str, str]]:
    """What is set in the environment of the worker in a slot; raises what the user's function raises."""
    given = options.worker_env
    if given is None:
        return lambda slot: {}
    if callable(given):
        return lambda slot: environment(given(slot))
    fixed = environment(given)
    return lambda slot: fixed


def _levels() -> dict[str, int]:
    """Of the loggers that have one of their own; that of the root by an empty name."""
    logging = sys.modules.get("logging")
    if logging is None:
        return {}
    named = {
        name: logger.level
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and logger.level
    }
    return {"": logging.root.level, **named}


def _allow_children() -> None:
    """In a worker: pools of its own, though the standard library refuses children to processes that are daemons.

    Because those would outlive it; ours do not. For good, or another thread's start could be refused meanwhile.
    """
    config = process.current_process()._config  # type: ignore[attr-defined]
    if config.get("daemon"):
        config["daemon"] = False


def _make_local(options: Options, poller: Poller, share: int) -> Launcher:
    from phalanx._launch.local import InlineLauncher, ThreadLauncher
    from phalanx._worker import run_inline, run_thread

    setup = WorkerSetup(LocalPages(), options.initializer, options.initargs, share)
    if options.backend == "threads":
        return ThreadLauncher(run_thread, setup, poller.ring)
    return InlineLauncher(run_inline, setup, poller.ring)
