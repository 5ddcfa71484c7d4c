"""However a program ends: its work is done or dropped, nothing is left, nobody complains, nothing hangs.

Each script runs in an interpreter of its own, which must end by itself, with this exit code and this output.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

PATIENCE = 50.0
HEAD = "import os, sys, time, itertools, threading, gc, signal\nimport phalanx\nfrom phalanx import Executor, Pool\n"
GUARD = "\nif __name__ == '__main__':\n"


def run(script: str, tmp_path: Path, *, method: str = "fork") -> subprocess.CompletedProcess[str]:
    """The script, guarded, with `METHOD`; afterwards no process may be left that belonged to it."""
    path = tmp_path / "script.py"
    body = textwrap.indent(textwrap.dedent(script), "    ")
    path.write_text(f"{HEAD}METHOD = {method!r}\n{GUARD}{body}", encoding="utf-8")
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning" if "Pool(" not in script else "ignore", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PHALANX_TEST_MARK": mark},
        check=False,
    )
    left = [process for process in psutil.process_iter() if belongs(process, mark)]
    _, alive = psutil.wait_procs(left, timeout=2)
    assert not alive
    return done


def belongs(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get("PHALANX_TEST_MARK") == mark)
    except psutil.Error:
        return False


def check(script: str, tmp_path: Path, output: str = "", *, code: int = 0, method: str = "fork") -> None:
    done = run(script, tmp_path, method=method)
    assert (done.returncode, done.stdout.split(), done.stderr) == (code, output.split(), "")


def test_a_pool_that_nobody_closed(tmp_path: Path, start_method: str) -> None:
    check(
        """
        pool = Pool(2, start_method=METHOD)
        print(pool.map(abs, [-1, -2]))
        """,
        tmp_path,
        "[1, 2]",
        method=start_method,
    )


def test_an_executor_that_nobody_shut_down_finishes(tmp_path: Path, start_method: str) -> None:
    check(
        """
        executor = Executor(2, start_method=METHOD)
        futures = [executor.submit(time.sleep, 0.1) for _ in range(3)]
        futures[-1].add_done_callback(lambda future: print("called"))
        print("end", flush=True)
        """,
        tmp_path,
        "end called",
        method=start_method,
    )


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_workers_of_the_same_process(backend: str, tmp_path: Path) -> None:
    check(
        f"""
        executor = Executor(2, backend={backend!r})
        futures = [executor.submit(abs, -3) for _ in range(3)]
        lazy = phalanx.stream(abs, itertools.count(), workers=2, backend={backend!r})
        print(next(lazy))
        """,
        tmp_path,
        "0",
    )


def test_a_thread_pool_that_nobody_closed(tmp_path: Path) -> None:
    check(
        """
        from phalanx.pool import ThreadPool
        pool = ThreadPool(2)
        print(pool.map(abs, [-1]))
        result = pool.map_async(abs, range(100))
        """,
        tmp_path,
        "[1]",
    )


def test_a_pool_with_work_outstanding_is_terminated(tmp_path: Path) -> None:
    check(
        """
        pool = Pool(2)
        result = pool.map_async(time.sleep, [60] * 10, chunksize=1)
        lazy = pool.imap(abs, itertools.count())
        print("end")
        """,
        tmp_path,
        "end",
    )


def test_an_endless_stream_that_nobody_closed(tmp_path: Path, start_method: str) -> None:
    check(
        """
        stream = phalanx.stream(abs, itertools.count(), workers=2, start_method=METHOD)
        print(next(stream), next(stream))
        """,
        tmp_path,
        "0 1",
        method=start_method,
    )


def test_an_endless_stream_of_an_executor(tmp_path: Path) -> None:
    check(
        """
        executor = Executor(2)
        stream = executor.stream(abs, itertools.count())
        print(next(stream))
        """,
        tmp_path,
        "0",
    )


def test_an_endless_map_of_an_executor(tmp_path: Path) -> None:
    check(
        """
        executor = Executor(2)
        results = executor.map(abs, itertools.count(), buffersize=5)
        print(next(results))
        """,
        tmp_path,
        "0",
    )


def test_everything_forgotten_at_once(tmp_path: Path) -> None:
    check(
        """
        def scene():
            pool = Pool(1)
            executor = Executor(1)
            stream = phalanx.stream(abs, itertools.count(), workers=1)
            pool.me = pool, executor, stream
            return pool.apply(abs, (-1,)), executor.submit(abs, -2).result(), next(stream)
        print(*scene())
        gc.collect()
        """,
        tmp_path,
        "1 2 0",
    )


def test_forgotten_executors_leave_nothing_while_the_program_goes_on(tmp_path: Path) -> None:
    check(
        """
        def count():
            return len(os.listdir("/proc/self/fd"))
        def use():
            Executor(1).submit(abs, -1).result()
            executor = Executor(1)
            executor.submit(abs, -1).result()
            executor.shutdown(wait=False)
        use()
        before = count()
        for _ in range(3):
            use()
            gc.collect()
        until = time.monotonic() + 10
        while count() > before and time.monotonic() < until:
            time.sleep(0.01)
        print(count() <= before)
        """,
        tmp_path,
        "True",
    )


def test_submitting_when_it_is_too_late(tmp_path: Path) -> None:
    check(
        """
        import atexit
        executor = Executor(1)
        def late():
            try:
                executor.submit(abs, -1)
            except RuntimeError as error:
                print(error)
        atexit.register(late)
        print(executor.submit(abs, -1).result())
        """,
        tmp_path,
        "1 cannot schedule new futures after interpreter shutdown",
    )


def test_the_exit_code_is_the_programs(tmp_path: Path) -> None:
    check(
        """
        executor = Executor(1)
        executor.submit(time.sleep, 0.05)
        pool = Pool(1)
        sys.exit(7)
        """,
        tmp_path,
        code=7,
    )


def test_an_error_of_the_program(tmp_path: Path) -> None:
    done = run(
        """
        with Executor(1) as executor:
            executor.submit(time.sleep, 0.05)
            executor.submit(divmod, 1, 0).result()
        """,
        tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-2].startswith("ZeroDivisionError")
    assert "phalanx: item 1" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_an_interrupt_in_the_middle_of_a_map(tmp_path: Path) -> None:
    done = run(
        """
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        phalanx.map(time.sleep, [60] * 4, workers=2)
        """,
        tmp_path,
    )
    assert done.returncode == -2
    assert done.stderr.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert done.stderr.count("Traceback") == 1


def test_a_pool_is_usable_after_an_interrupt(tmp_path: Path) -> None:
    check(
        """
        with Pool(2) as pool:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                pool.map(time.sleep, [60] * 4)
            except KeyboardInterrupt:
                print("interrupted")
            print(pool.map(abs, [-1, -2]))
        """,
        tmp_path,
        "interrupted [1, 2]",
    )


def test_a_users_own_fork_disturbs_nothing(tmp_path: Path) -> None:
    check(
        """
        pool, executor = Pool(2), Executor(2)
        executor.submit(abs, -1).result()
        result = pool.map_async(time.sleep, [0.1] * 4)
        pid = os.fork()
        if not pid:
            try:
                executor.submit(abs, -1)
            except phalanx.errors.PoolClosed as error:
                print("refused" if "forked" in str(error) else error, flush=True)
            del pool, executor, result
            gc.collect()
            sys.exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
        print(result.get(), executor.submit(abs, -5).result())
        pool.terminate()
        """,
        tmp_path,
        "refused 0 [None, None, None, None] 5",
    )


def test_output_of_tasks_and_of_the_program_comes_once(tmp_path: Path, start_method: str) -> None:
    check(
        """
        sys.stdout.write("before ")
        phalanx.map(print, ["task"], workers=1, start_method=METHOD)
        """,
        tmp_path,
        "before task",
        method=start_method,
    )
