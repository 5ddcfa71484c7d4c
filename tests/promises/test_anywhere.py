"""Functions and classes from anywhere: files with and without a guard, `-c`, standard input, a prompt, a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises.programs import said_by

PROGRAM = """
import functools, sys, phalanx

METHOD = {method!r}
state, scale = None, 3

class Point:
    def __init__(self, x):
        self.x = x

class Oops(Exception):
    pass

class Adder:
    def __init__(self, n):
        self.n = n
    def __call__(self, x):
        return x + self.n
    def twice(self, x):
        return 2 * x + self.n

def traced(function):
    @functools.wraps(function)
    def inner(*args):
        return "traced", function(*args)
    return inner

def scaled(x):
    return helper(x) * scale

def helper(x):
    return x + 1

@traced
def decorated(x):
    return x

def begin(value):
    global state
    state = value

def state_of(_):
    return state

def moved(point):
    return Point(point.x + 1)

def fail(x):
    raise Oops(x)

def outer():
    class Local:
        def __init__(self, x):
            self.x = x
    class Worse(Oops):
        pass
    def moved(local):
        return Local(local.x + 1)
    def fail(x):
        raise Worse(x)
    return Local, Worse, moved, fail

def main(*names):
    # Not one of these: functions that were given the names of the standard library's own in a new interpreter.
    return len(names)

def spawn_main(x):
    return x

def go():
    with phalanx.Pool(2, begin, (7,), context=phalanx.get_context(METHOD)) as pool:
        assert pool.map(scaled, range(3)) == [3, 6, 9]
        assert pool.map(state_of, range(2)) == [7, 7]
        assert pool.map(lambda x: (x, state), [1]) == [(1, 7)], "what the initializer set"
        assert pool.map(decorated, [1]) == [("traced", 1)]
        assert pool.map(functools.partial(pow, 2), [3]) == [8]
        assert pool.map(Adder(1), [1]) == [2] and pool.map(Adder(1).twice, [1]) == [3]
        assert pool.map(main, [1]) == [1] and pool.map(spawn_main, [1]) == [1]
        [back] = pool.map(moved, [Point(1)])
        assert isinstance(back, Point) and back.x == 2
        try:
            pool.map(fail, [1])
        except Oops as error:
            assert error.args == (1,)
        Local, Worse, local_moved, local_fail = outer()
        [back] = pool.map(local_moved, [Local(1)])
        assert isinstance(back, Local) and back.x == 2
        try:
            pool.map(local_fail, [1])
        except Worse as error:
            assert error.args == (1,)
        try:
            pool.map(lambda x: lambda: x, [1])
        except phalanx.errors.NotSendable as error:
            assert error.side == "result"
    with phalanx.Executor(2, mp_context=phalanx.get_context(METHOD)) as executor:
        assert executor.submit(scaled, 1).result() == 6
        assert executor.submit(moved, Point(1)).result().x == 2
        assert executor.submit(lambda x: helper(x), 1).result() == 2
    assert phalanx.map(scaled, [1, 2], workers=2, start_method=METHOD) == [6, 9]
    process = phalanx.get_context(METHOD).Process(target=scaled, args=(1,))
    process.start()
    assert process.result(50) == 6
    print("all of it")
"""
GUARDED = PROGRAM + "\nif __name__ == '__main__':\n    go()\n"
UNGUARDED = PROGRAM + "\ngo()\n"


@pytest.mark.parametrize("program", [GUARDED, UNGUARDED], ids=["guarded", "unguarded"])
def test_a_file(program: str, start_method: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program.format(method=start_method))
    assert said_by(str(path)) == "all of it\n"


def test_a_module_that_is_run(start_method: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "program.py").write_text(UNGUARDED.format(method=start_method))
    (tmp_path / "package" / "__main__.py").write_text(UNGUARDED.format(method=start_method))
    assert said_by("-m", "package.program", folder=tmp_path) == "all of it\n"
    assert said_by("-m", "package", folder=tmp_path) == "all of it\n"


def test_a_directory_that_is_run(start_method: str, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(UNGUARDED.format(method=start_method))
    assert said_by(str(tmp_path)) == "all of it\n"


def test_a_command(start_method: str) -> None:
    assert said_by("-c", UNGUARDED.format(method=start_method)) == "all of it\n"


def test_standard_input(start_method: str) -> None:
    assert said_by("-", stdin=UNGUARDED.format(method=start_method)) == "all of it\n"


REDEFINING = """
import phalanx
pool = phalanx.Pool(2, context=phalanx.get_context({method!r}))
executor = phalanx.Executor(2, mp_context=phalanx.get_context({method!r}))
def both(function, *items):
    return pool.map(function, items) + [executor.submit(function, each).result() for each in items]

def f(x): return x * 2

both(f, 1, 2)
def f(x): return x * 3

both(f, 1, 2)
def g(x): return f(x) + 1

both(g, 1)
def f(x): return x * 4

both(g, 1)
class C:
    def __init__(self, x): self.x = x

def up(c): return C(c.x + 1)

[isinstance(c, C) and c.x for c in both(up, C(1))]
class C:
    def __init__(self, x): self.x = x * 10

[isinstance(c, C) and c.x for c in both(up, C(1))]
both(lambda x: f(x), 1)
pool.terminate()
executor.shutdown()
"""


def test_a_prompt_at_which_functions_and_classes_are_defined_anew(start_method: str) -> None:
    said = said_by("-i", "-q", stdin=REDEFINING.format(method=start_method))
    assert said.split("\n")[:-1] == [
        "[2, 4, 2, 4]",
        "[3, 6, 3, 6]",
        "[4, 4]",
        "[5, 5]",
        "[2, 2]",
        "[110, 110]",
        "[4, 4]",
    ]


def test_what_an_initializer_has_set_stays(start_method: str) -> None:
    """And what was changed since goes with the function that goes by value."""
    program = """
import phalanx
mine, yours = 1, 1
def begin():
    global mine
    mine = 2

with phalanx.Pool(1, begin, context=phalanx.get_context({method!r})) as pool:
    yours = 3
    print(pool.map(lambda x: (mine, yours), [0]))
    yours = 4
    print(pool.map(lambda x: (mine, yours), [0]))
"""
    assert said_by("-c", program.format(method=start_method)) == "[(2, 3)]\n[(2, 4)]\n"


def test_a_class_that_cannot_be_sent_is_told_as_such() -> None:
    program = """
import threading, phalanx
class Locked:
    lock = threading.Lock()

def locked(x):
    return Locked.lock

try:
    phalanx.map(locked, [1], start_method="spawn")
except phalanx.errors.NotSendable as error:
    print(error)
"""
    assert "cannot send the function: Locked" in said_by("-c", program)


def test_a_name_that_nobody_has(start_method: str) -> None:
    program = """
import phalanx
def f(x):
    return x

with phalanx.Executor(1, mp_context=phalanx.get_context({method!r})) as executor:
    executor.submit(abs, 1).result()
    class Gone:
        def __reduce__(self):
            return "nobody"
    nobody = Gone()
    future = executor.submit(f, nobody)
    print(type(future.exception()).__name__, executor.submit(f, 1).result())
"""
    assert said_by("-c", program.format(method=start_method)) == "AttributeError 1\n"


def test_workers_are_not_started_while_the_standard_library_runs_the_program_again(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        "import multiprocessing, phalanx\n"
        "if __name__ != '__main__':\n"
        "    phalanx.map(abs, [1])\n"
        "else:\n"
        "    process = multiprocessing.get_context('spawn').Process(target=abs, args=(1,))\n"
        "    process.start()\n"
        "    process.join()\n"
        "    print(process.exitcode)\n"
    )
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "1\n"
    assert done.stderr.endswith('have it start them below  if __name__ == "__main__":\n')


@pytest.mark.slow
def test_a_module_that_starts_workers_when_it_is_imported(start_method: str, tmp_path: Path) -> None:
    (tmp_path / "eager.py").write_text(
        "import phalanx\n"
        "def f(x):\n"
        "    return x + 1\n"
        f"found = phalanx.map(f, [1, 2], workers=2, start_method={start_method!r})\n"
    )
    path = tmp_path / "program.py"
    path.write_text("import eager\nprint(eager.found)\n")
    said = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=50
    )
    if start_method == "fork":
        assert said.stdout == "[2, 3]\n"
    else:
        assert "while it is imported" in said.stderr
