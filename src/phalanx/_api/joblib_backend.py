"""joblib on our engine: a backend, after joblib's manual "Custom backend API"."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from phalanx._api.executor import Executor
from phalanx._api.sizes import cpu_budget
from phalanx._policy import Mode

NAME = "phalanx"
# What joblib calls its own backends of processes, the first of which it uses when nobody says otherwise.
REPLACED = ("loky", "multiprocessing")


def make_backend() -> Any:
    """The class of the backend. Imports joblib."""
    from joblib._parallel_backends import FallbackToBackend, SequentialBackend
    from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

    class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
        """Batches of calls, each submitted to an `Executor`, which lives as long as the call of `Parallel`."""

        supports_retrieve_callback = True
        supports_inner_max_num_threads = True
        _executor: Executor | None = None

        def effective_n_jobs(self, n_jobs: int | None) -> int:
            if n_jobs == 0:
                raise ValueError("n_jobs == 0 in Parallel has no meaning")
            if n_jobs is None:
                return 1
            return n_jobs if n_jobs > 0 else max(cpu_budget().number + 1 + n_jobs, 1)

        def configure(self, n_jobs: int = 1, parallel: Any = None, **not_for_us: Any) -> int:
            n_jobs = self.effective_n_jobs(n_jobs)
            if n_jobs == 1:
                raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
            self._executor = Executor(n_jobs, blas_threads=self.inner_max_num_threads)
            self.parallel = parallel
            return n_jobs

        def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Any:
            assert self._executor is not None
            future = self._executor.submit(func)
            if callback is not None:
                future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: Any) -> Any:
            return future.result()

        def terminate(self) -> None:
            if self._executor is not None:
                self._executor.shutdown()
            self._executor = None
            self.reset_batch_stats()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            if self._executor is not None:
                self._executor._end(Mode.TERMINATE)
            self._executor = None
            if ensure_ready:
                self.configure(self.parallel.n_jobs, self.parallel)

    return Backend


class Registration:
    """Our backend in joblib, from now on or from the moment that joblib is imported."""

    def __init__(self) -> None:
        self._before: dict[str, Any] = {}
        if "joblib" in sys.modules:
            self._register()
        else:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Called for each import: that of joblib registers us, once it is loaded."""
        if name != "joblib" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: Any) -> None:
                load(module)
                self._register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec

    def _register(self) -> None:
        import joblib

        backend = make_backend()
        self._before = {name: joblib.parallel.BACKENDS.get(name) for name in (NAME, *REPLACED)}
        for name in self._before:
            joblib.register_parallel_backend(name, backend)

    def undo(self) -> None:
        """As it was before."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, factory in self._before.items():
            if factory is None:
                sys.modules["joblib"].parallel.BACKENDS.pop(name, None)
            else:
                sys.modules["joblib"].register_parallel_backend(name, factory)
        self._before = {}
