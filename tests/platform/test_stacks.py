"""What `faulthandler` wrote, made readable for somebody who only knows his own code."""

from __future__ import annotations

import ast
import linecache
import os
import subprocess
import sys
import threading

from phalanx._platform.stacks import (
    _ENTRIES,
    Frame,
    fatal_dump,
    first_answer,
    format_stacks,
    parse_stacks,
    tell,
    without_fatal_dump,
)

OURS = os.path.dirname(os.path.dirname(sys.modules[parse_stacks.__module__].__file__ or ""))
THREADING = threading.__file__
PROCESS = os.path.join(os.path.dirname(os.__file__), "multiprocessing", "process.py")

STARTED = f"""\
  File "{OURS}/_worker/runner.py", line 239 in _call
  File "{OURS}/_worker/loop.py", line 109 in serve_socket
  File "{OURS}/_worker/main.py", line 39 in run_process
  File "{PROCESS}", line 314 in _bootstrap
  File "{OURS}/_launch/process.py", line 39 in _bootstrap
  File "{OURS}/_api/pool.py", line 79 in __init__
  File "/home/me/script.py", line 12 in <module>
"""
USER = """\
  File "/home/me/tools.py", line 7 in inner
  File "/home/me/script.py", line 3 in work
"""
REQUESTED = f"Stack (most recent call first):\n{USER}{STARTED}"
BESIDE = f"""\
Thread 0x00007f1694013b80 (most recent call first):
  File "/home/me/script.py", line 9 in beside
  File "{THREADING}", line 982 in run
  File "{THREADING}", line 1045 in _bootstrap_inner
  File "{THREADING}", line 1002 in _bootstrap
"""
OUR_THREAD = f"""\
Thread 0x00007f1694013b81 (most recent call first):
  File "{THREADING}", line 327 in wait
  File "{OURS}/_worker/flusher.py", line 60 in _run
"""
FATAL = f"""\
Fatal Python error: Segmentation fault

{BESIDE}
{OUR_THREAD}
Current thread 0x00007f169400db80 (most recent call first):
{USER}{STARTED}
Extension modules: numpy.core._multiarray_umath (total: 1)
"""


def names(text: str) -> list[list[str]]:
    return [[frame.name for frame in stack.frames] for stack in parse_stacks(text)]


def test_only_the_users_frames_are_left_most_recent_last() -> None:
    [stack] = parse_stacks(REQUESTED)
    assert stack.frames == (
        Frame("/home/me/script.py", 3, "work"),
        Frame("/home/me/tools.py", 7, "inner"),
    )
    assert (stack.ident, stack.name, stack.is_current, stack.is_cut) == (None, None, True, False)


def test_each_thread_that_runs_something_of_the_users_is_there() -> None:
    beside, current = parse_stacks(FATAL)
    assert (beside.ident, beside.is_current) == (0x7F1694013B80, False)
    assert [frame.name for frame in beside.frames] == ["beside"]
    assert (current.ident, current.is_current) == (0x7F169400DB80, True)
    assert [frame.name for frame in current.frames] == ["work", "inner"]


def test_a_thread_of_ours_is_no_business_of_the_users() -> None:
    text = f"Fatal Python error: Aborted\n\n{OUR_THREAD}"
    assert names(text) == []


def test_threads_with_names_keep_them() -> None:
    text = BESIDE.replace("3b80 (", "3b80 [reader] (")
    assert [stack.name for stack in parse_stacks(text)] == ["reader"]


def test_an_idle_worker_runs_no_code_of_the_users() -> None:
    [stack] = parse_stacks(f"Stack (most recent call first):\n{STARTED}")
    assert stack.frames == ()
    assert "no code of yours" in format_stacks([stack])


def test_what_the_users_function_calls_of_this_library_stays() -> None:
    """It waits for a pool of its own: that is what he wants to know."""
    text = REQUESTED.replace("first):\n", f'first):\n  File "{OURS}/_engine/driver.py", line 1 in wait_for\n')
    assert names(text) == [["work", "inner", "wait_for"]]


def test_of_a_worker_of_a_worker_only_what_the_inner_one_runs_is_shown() -> None:
    text = f"Stack (most recent call first):\n{USER}{STARTED.replace('/home/me/script', '/home/me/outer')}"
    text += f'  File "/home/me/outer.py", line 8 in calls_a_pool\n{STARTED}'
    assert names(text) == [["work", "inner"]]


def test_a_handler_at_the_workers_end_is_shown() -> None:
    text = f"""Stack (most recent call first):
  File "/home/me/script.py", line 30 in at_exit
  File "{OURS}/_platform/forked.py", line 90 in run_exit_handlers
  File "{OURS}/_launch/process.py", line 42 in _bootstrap
  File "{OURS}/_launch/process.py", line 104 in run_forked_worker
  File "/home/me/script.py", line 12 in <module>
"""
    assert names(text) == [["at_exit"]]


def test_a_stack_deeper_than_what_is_written_is_marked() -> None:
    text = "Stack (most recent call first):\n" + '  File "/home/me/a.py", line 1 in f\n' * 100 + "  ...\n"
    [stack] = parse_stacks(text)
    assert stack.is_cut
    assert len(stack.frames) == 100
    assert format_stacks([stack]).startswith("  ...\n")


def test_nothing_written_is_nothing_known() -> None:
    assert parse_stacks("") == []
    assert tell("") == (None, None)


def test_a_dump_that_is_cut_anywhere_is_read_as_far_as_it_goes() -> None:
    for length in range(len(REQUESTED)):
        for stack in parse_stacks(REQUESTED[:length]):
            assert {frame.name for frame in stack.frames} <= {"work", "inner"}


ASKED = f"""\
--- asked
{BESIDE}
Current thread 0x00007f169400db80 (most recent call first):
  File "{OURS}/_platform/blackbox.py", line 150 in _answer
{USER}{STARTED}--- told
"""


def test_an_answer_is_what_stands_between_the_marks() -> None:
    dump, whole = first_answer(ASKED)
    assert whole
    assert names(dump) == [["beside"], ["work", "inner"]]
    for length in range(len(ASKED)):
        dump, whole = first_answer(ASKED[:length])
        assert not whole
        assert ASKED.startswith("--- asked\n" + dump) or dump == ""


def test_an_answer_to_insistence_is_there_with_the_frame_in_which_the_worker_begins() -> None:
    end = REQUESTED.index(" in run_process\n") + len(" in run_process\n")
    assert first_answer(REQUESTED) == (REQUESTED, True)
    assert first_answer(REQUESTED[:end]) == (REQUESTED[:end], True)
    assert not first_answer(REQUESTED[: end - 1])[1]
    deep = "Stack (most recent call first):\n" + '  File "/home/me/a.py", line 1 in f\n' * 100
    assert first_answer(deep) == (deep, True)
    assert first_answer("") == ("", False)


def test_only_the_first_of_several_answers_counts() -> None:
    assert first_answer(REQUESTED + ASKED) == (REQUESTED, True)
    assert first_answer(ASKED + REQUESTED) == first_answer(ASKED)
    assert first_answer(REQUESTED + REQUESTED) == (REQUESTED, True)


def test_the_words_of_a_death_are_told_from_answers_to_requests() -> None:
    assert fatal_dump(REQUESTED + FATAL) == FATAL
    assert without_fatal_dump(REQUESTED + FATAL) == REQUESTED
    assert fatal_dump(REQUESTED) == ""
    assert without_fatal_dump(REQUESTED) == REQUESTED
    assert fatal_dump(FATAL) == FATAL
    assert without_fatal_dump(FATAL) == ""


def test_the_culprit_is_the_innermost_frame_that_is_not_a_librarys() -> None:
    library = f'  File "{os.path.dirname(os.__file__)}/json/decoder.py", line 5 in decode\n'
    installed = '  File "/venv/lib/python3.11/site-packages/numpy/core.py", line 5 in dot\n'
    text, where = tell(REQUESTED.replace("first):\n", f"first):\n{library}{installed}"))
    assert where == "inner (/home/me/tools.py, line 7)"
    assert "in decode" in (text or "")
    only_library = f"Stack (most recent call first):\n{library}{STARTED}"
    assert "decode" in (tell(only_library)[1] or "")


def test_a_thread_that_python_does_not_know_leaves_the_main_thread_as_the_place() -> None:
    text, where = tell(FATAL.replace("Current thread", "Thread"))
    assert where == "inner (/home/me/tools.py, line 7)"
    assert "beside" in (text or "")


def test_a_stack_reads_like_a_traceback_with_its_lines(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "job.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write("def work(x):\n    return 1 // x\n")
    linecache.checkcache(path)
    text = f'Stack (most recent call first):\n  File "{path}", line 2 in work\n{STARTED}'
    assert tell(text)[0] == f'  File "{path}", line 2, in work\n    return 1 // x\n'


def test_several_threads_are_told_apart() -> None:
    told = tell(FATAL)[0] or ""
    assert "Thread 0x7f1694013b80 (most recent call last):\n" in told
    assert "Current thread 0x7f169400db80 (most recent call last):\n" in told
    assert told.index("in work") < told.index("in inner")


def test_where_a_worker_begins_is_where_we_think() -> None:
    """The names stand in other files than these."""
    for path, name in _ENTRIES:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_what_this_interpreter_writes_is_understood() -> None:
    """Whatever its version: the shape is not part of any promise."""
    program = """
import faulthandler, os, sys, threading
def ä(event):
    event.wait()
event = threading.Event()
thread = threading.Thread(target=ä, args=(event,), daemon=True)
thread.start()
def outer():
    faulthandler.dump_traceback(all_threads=len(sys.argv) > 1)
outer()
"""
    for extra, expected in (([], ["outer"]), (["all"], ["wait", "outer"])):
        command = [sys.executable, "-c", program, *extra]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        stacks = parse_stacks(done.stderr)
        assert [stack.frames[-1].name for stack in stacks] == expected
        assert stacks[-1].frames[0].name == "<module>"
        assert stacks[-1].is_current
