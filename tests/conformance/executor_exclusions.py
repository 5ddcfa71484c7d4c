"""Tests of CPython's about executors that do not fit ours, each with its reason; and the inverse tests.

"Inverted" means that the standard behaviour is what this library exists to remove: the inverse test of the same name
below runs in the original's place.
"""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import tempfile
import threading
import time
import unittest.mock
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
from pickle import PicklingError, UnpicklingError

import psutil

from tests.conformance import children
from tests.conformance.exclusions import Excluded

PATIENCE = 30.0

ROWS: list[Excluded] = [
    # -- a failure harms one item, not the pool
    Excluded(
        "ProcessPoolExecutorTest", "test_killed_child", inverted=True,
        reason="wants every later submit to fail because one process was killed; ours loses the item that it ran",
    ),
    Excluded(
        "FailingInitializerMixin", "test_initializer", inverted=True,
        reason="wants the executor to be unusable for ever; ours fails the calls that wait and tries again at the next",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_exit_at_task_unpickle", inverted=True,
        reason="wants a broken pool when arguments cannot be rebuilt in the worker; ours fails that item",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_error_at_task_unpickle", inverted=True,
        reason="wants a broken pool when arguments cannot be rebuilt in the worker; ours fails that item",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_error_during_result_unpickle_in_result_handler", inverted=True,
        reason="wants a broken pool when a result cannot be rebuilt in the parent; ours fails that item",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_exit_during_result_unpickle_in_result_handler", inverted=True,
        reason="wants a broken pool when a result cannot be rebuilt in the parent; ours fails that item",
    ),
    Excluded(
        "ProcessPoolExecutorTest", "test_python_finalization_error", inverted=True,
        reason="wants a broken pool when a second thread cannot be started; ours needs no second thread",
    ),
    # -- what has not started can be cancelled, wherever it waits
    Excluded(
        "ProcessPoolShutdownTest", "test_cancel_futures", inverted=True,
        reason="counts on some items being beyond recall before a worker runs; ours takes back all that have not begun",
    ),
    Excluded(
        "ExecutorShutdownTest", "test_cancel_futures", inverted=True,
        reason="counts on some items being beyond recall before a worker runs; ours takes back all that have not begun",
    ),
    # -- fork is safe here
    Excluded(
        "ProcessPoolExecutorTest", "test_max_tasks_per_child", inverted=True, only=("fork",),
        reason="wants ValueError for fork, which is a deadlock there; our workers are not forked from a threaded process",
    ),
    Excluded(
        "ProcessPoolExecutorTest", "test_max_tasks_per_child_defaults_to_spawn_context", inverted=True,
        reason="the start method changes behind the user's back because fork would deadlock; ours keeps it",
    ),
    # -- parts that we do not have; the inverse asks the same of what we have
    Excluded(
        "ProcessPoolShutdownTest", "test_del_shutdown", inverted=True,
        reason="joins the manager thread and the call queue",
    ),
    Excluded(
        "ProcessPoolShutdownTest", "test_shutdown_no_wait", inverted=True,
        reason="joins the manager thread and the call queue",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_shutdown_deadlock_pickle", inverted=True,
        reason="joins the manager thread",
    ),
    Excluded(
        "ExecutorDeadlockTest", "test_gh105829_should_not_deadlock_if_wakeup_pipe_full",
        reason="slows down the manager thread and fills its wake-up pipe; we have neither, so it would prove nothing",
    ),
    Excluded(
        "ProcessPoolShutdownTest", "test_processes_terminate", inverted=True,
        reason="counts processes started for three calls that cannot be pickled; ours starts none for those",
    ),
    Excluded(
        "ProcessPoolExecutorTest", "test_saturation", inverted=True,
        reason="counts processes started for 75 calls that cannot be pickled; ours starts none for those",
    ),
    Excluded(
        "ThreadPoolExecutorTest", "test_saturation",
        reason="counts the threads in a private set of ThreadPoolExecutor",
    ),
    Excluded(
        "ThreadPoolExecutorTest", "test_idle_thread_reuse",
        reason="counts the threads in a private set of ThreadPoolExecutor",
    ),
    Excluded(
        "ThreadPoolExecutorTest", "test_default_workers",
        reason="the default number of threads is that of processes here, whatever the backend",
    ),
]  # fmt: skip

NOT_TAKEN = {
    "ThreadPoolShutdownTest": "joins the threads in a private set of ThreadPoolExecutor; its general part is taken",
    "ThreadPoolWaitTests": "adds one test to WaitTests, of the switch interval with threads: house tests of ours do that",
}
"""Classes of those modules that have tests and are not run at all."""


def _gone(test: unittest.TestCase, pids) -> None:
    """Those processes end by themselves, soon, and so does who sees to it."""
    about = []
    for pid in pids:
        try:
            about.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            pass
    _, alive = psutil.wait_procs(about, timeout=PATIENCE)
    test.assertEqual(alive, [])
    # As the original joins the manager thread: it reaps the process that forked the workers, and CPython's account
    # of leaks, which looks once, would count that one.
    for thread in threading.enumerate():
        if thread.name == "phalanx-driver":
            thread.join(PATIENCE)
            test.assertFalse(thread.is_alive())


def _story(error: BaseException | None) -> str:
    """What a traceback of it would say."""
    lines = []
    while error is not None:
        lines += [repr(error), str(error), *getattr(error, "__notes__", ())]
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


class ProcessPoolExecutorInverses:
    def test_killed_child(self):
        with tempfile.TemporaryDirectory() as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            doomed = self.executor.submit(children.announce_and_sleep, fifo)
            with open(fifo) as file:
                pid = int(file.read())
        others = [self.executor.submit(children.pid_after, 0.05) for _ in range(20)]
        psutil.Process(pid).terminate()
        self.assertRaises(BrokenProcessPool, doomed.result, PATIENCE)
        self.assertNotIn(pid, [other.result(PATIENCE) for other in others])
        self.assertEqual(self.executor.submit(pow, 2, 8).result(PATIENCE), 256)

    def test_python_finalization_error(self):
        start, started = threading._start_joinable_thread, []

        def start_one_only(*args, **kwargs):
            if started:
                raise RuntimeError("can't create new thread at interpreter shutdown")
            started.append(args)
            return start(*args, **kwargs)

        with unittest.mock.patch.object(threading, "_start_joinable_thread", start_one_only):
            with self.executor_type(max_workers=2, mp_context=self.get_context()) as executor:
                self.assertEqual(list(executor.map(pow, [2] * 10, [3] * 10)), [8] * 10)

    def test_max_tasks_per_child(self):
        with self.executor_type(1, mp_context=self.get_context(), max_tasks_per_child=3) as executor:
            pids = [executor.submit(os.getpid).result(PATIENCE) for _ in range(7)]
        self.assertEqual(len(set(pids[:3])), 1)
        self.assertEqual(len(set(pids[3:6])), 1)
        self.assertEqual(len(set(pids)), 3)

    def test_max_tasks_per_child_defaults_to_spawn_context(self):
        with self.executor_type(1, max_tasks_per_child=3) as executor:
            method = executor.submit(multiprocessing.get_start_method).result(PATIENCE)
        self.assertEqual(method, multiprocessing.get_start_method())

    def test_saturation(self):
        # Each group of calls ends only when as many run at once as there are workers.
        with self.get_context().Manager() as manager:
            barrier = manager.Barrier(self.worker_count)
            waiting = [self.executor.submit(barrier.wait, PATIENCE) for _ in range(15 * self.worker_count)]
            places = [future.result(2 * PATIENCE) for future in waiting]
        self.assertEqual(sorted(places), sorted([*range(self.worker_count)] * 15))


class FailingInitializerInverses:
    def test_initializer(self):
        for _ in range(2):
            future = self.executor.submit(pow, 2, 8)
            with self.assertRaises(BrokenExecutor) as raised:
                future.result(PATIENCE)
            self.assertIn("error in initializer", _story(raised.exception))
        with tempfile.TemporaryDirectory() as folder:
            repaired = pathlib.Path(folder, "repaired")
            with self.executor_type(
                2,
                mp_context=self.get_context(),
                initializer=children.fail_unless_exists,
                initargs=(str(repaired),),
            ) as executor:
                waiting = [executor.submit(pow, 2, 8) for _ in range(10)]
                for future in waiting:
                    self.assertRaises(BrokenExecutor, future.result, PATIENCE)
                repaired.touch()
                self.assertEqual(executor.submit(pow, 2, 8).result(PATIENCE), 256)


class ExecutorDeadlockInverses:
    def _fails_alone(self, error, function, *args):
        before = [self.executor.submit(pow, 2, n) for n in range(10)]
        future = self.executor.submit(function, *args)
        after = [self.executor.submit(pow, 3, n) for n in range(10)]
        self.assertRaises(error, future.result, PATIENCE)
        self.assertEqual([f.result(PATIENCE) for f in before], [2**n for n in range(10)])
        self.assertEqual([f.result(PATIENCE) for f in after], [3**n for n in range(10)])
        self.assertEqual(self.executor.submit(pow, 2, 8).result(PATIENCE), 256)

    def test_exit_at_task_unpickle(self):
        self._fails_alone((SystemExit, PicklingError), id, children.ExitsAtUnpickle())

    def test_error_at_task_unpickle(self):
        self._fails_alone((UnpicklingError, PicklingError), id, children.FailsAtUnpickle())

    def test_error_during_result_unpickle_in_result_handler(self):
        self._fails_alone((UnpicklingError, PicklingError), children.FailsAtUnpickle)

    def test_exit_during_result_unpickle_in_result_handler(self):
        self._fails_alone((SystemExit, PicklingError), children.ExitsAtUnpickle)

    def test_shutdown_deadlock_pickle(self):
        self.assertEqual(self.executor.submit(pow, 2, 8).result(PATIENCE), 256)
        future = self.executor.submit(id, children.FailsAtPickle())
        self.executor.shutdown(wait=False)
        self.assertRaises(PicklingError, future.result, PATIENCE)


class ExecutorShutdownInverses:
    def test_cancel_futures(self):
        first = self.executor.submit(time.sleep, 0.1)
        others = [self.executor.submit(time.sleep, 0.1) for _ in range(49)]
        first.result(PATIENCE)
        self.executor.shutdown(cancel_futures=True)
        cancelled = [future for future in others if future.cancelled()]
        self.assertGreater(len(cancelled), 20)
        for future in others:
            self.assertTrue(future.done(), future)
            if future not in cancelled:
                self.assertIsNone(future.exception())


class ProcessPoolShutdownInverses(ExecutorShutdownInverses):
    def test_processes_terminate(self):
        pids = {future.result(PATIENCE) for future in [self.executor.submit(children.pid_after, 0.1)] * 3}
        self.executor.shutdown()
        for pid in pids:
            self.assertFalse(psutil.pid_exists(pid))

    def test_del_shutdown(self):
        executor = self.executor_type(max_workers=5, mp_context=self.get_context())
        pids = executor.map(children.pid_after, [0.05] * 10)
        numbers = executor.map(abs, range(-5, 5))
        del executor
        self.assertEqual(list(numbers), [5, 4, 3, 2, 1, 0, 1, 2, 3, 4])
        _gone(self, set(pids))

    def test_shutdown_no_wait(self):
        executor = self.executor_type(max_workers=5, mp_context=self.get_context())
        pids = executor.map(children.pid_after, [0.05] * 10)
        numbers = executor.map(abs, range(-5, 5))
        executor.shutdown(wait=False)
        self.assertEqual(list(numbers), [5, 4, 3, 2, 1, 0, 1, 2, 3, 4])
        _gone(self, set(pids))


INVERSES: dict[str, type] = {
    "ProcessPoolExecutorTest": ProcessPoolExecutorInverses,
    "FailingInitializerMixin": FailingInitializerInverses,
    "ExecutorDeadlockTest": ExecutorDeadlockInverses,
    "ExecutorShutdownTest": ExecutorShutdownInverses,
    "ProcessPoolShutdownTest": ProcessPoolShutdownInverses,
}
"""By CPython's class: where the tests that replace its inverted ones are."""
