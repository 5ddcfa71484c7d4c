"""What is tested is what should be: ours, also where CPython's tests reach it by a detour."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conformance import subject


def test_a_managers_pool_is_the_one_tested():
    assert subject.SyncManager._registry["Pool"][0] is subject.Pool


@pytest.mark.parametrize("name", subject.EXECUTORS)
def test_scripts_import_the_executor_that_is_tested(name):
    source = f"if True:\n    from concurrent.futures import {name}\n    print({name}(2).submit(pow, 2, 8).result())"
    script = subject.rewritten(source)
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("256", "")


def test_a_script_that_names_nothing_tested_is_refused():
    with pytest.raises(AssertionError, match="nothing in this script"):
        subject.rewritten("from multiprocessing import Queue")
