"""Libraries of others that use the standard pools: unmodified, on ours, with the same results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import sys
import phalanx
from phalanx._api import session

opened = []
begin = session.Session.__init__

def counting(self, *args, **kwargs):
    opened.append(1)
    begin(self, *args, **kwargs)

session.Session.__init__ = counting
if sys.argv.pop(1) == "ours":
    phalanx.install()

def square(x):
    return x * x

def add(x, y):
    return x + y

"""
TAIL = """
if __name__ == "__main__":
    print(repr(result()))
    print(len(opened))
"""

# What each of them is asked to do.
ASKED = {
    "tqdm": """
def result():
    from tqdm.contrib.concurrent import process_map
    return process_map(square, range(50), max_workers=2, chunksize=4, disable=True)
""",
    "pqdm": """
def result():
    from pqdm.processes import pqdm
    return pqdm(range(20), square, n_jobs=2, disable=True), pqdm([[1, 2], [3, 4]], add, 2, "args", disable=True)
""",
    "parmap": """
def result():
    import parmap
    return (
        parmap.map(add, range(30), 5, pm_processes=2),
        parmap.starmap(add, [(1, 2), (3, 4)], pm_processes=2),
        parmap.map_async(square, range(5), pm_processes=2).get(),
    )
""",
    "fastcore": """
def result():
    from fastcore.parallel import parallel
    return list(parallel(square, range(30), n_workers=2)), list(parallel(add, range(4), 5, n_workers=2, pause=0.001))
""",
    "isort": """
def result():
    from isort.main import main
    main(["--jobs", "2", "--quiet", *files()])
    return texts()
""",
    "black": """
def result():
    import black
    try:
        black.main([*files(), "--workers", "2", "--quiet"])
    except SystemExit as leaving:
        return leaving.code, texts()
""",
    "joblib": """
def result():
    from joblib import Parallel, delayed, parallel_config
    found = Parallel(n_jobs=2)(delayed(square)(x) for x in range(100))
    with parallel_config(backend="multiprocessing", n_jobs=2):
        found += Parallel()(delayed(square)(x) for x in range(10))
    with Parallel(n_jobs=2, return_as="generator") as parallel:
        found += parallel(delayed(add)(x, y=1) for x in range(10))
        found += parallel(delayed(add)(x, y=2) for x in range(10))
    try:
        Parallel(n_jobs=2)(delayed(divmod)(1, x) for x in range(-20, 20))
    except ZeroDivisionError as error:
        found.append(str(error))
    return found
""",
    "flake8": """
def result():
    from flake8.main.cli import main
    return main(["--jobs", "2", "--isolated", *files()])
""",
}
FILES = """
def files():
    return [f"{name}.py" for name in "abcdef"]

def texts():
    return [open(name).read() for name in files()]
"""


def run_on(which: str, name: str, folder: Path) -> tuple[list[str], int]:
    """What it printed, and how many pools of ours it has opened."""
    folder.mkdir()
    for letter in "abcdef":
        (folder / f"{letter}.py").write_text(f"import sys\nimport os\nx = {{  '{letter}':1 }}\n")
    program = folder / "program.py"
    program.write_text(HEAD + FILES + ASKED[name] + TAIL)
    done = subprocess.run(
        [sys.executable, program.name, which],
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    *said, opened = done.stdout.splitlines()
    return said, int(opened)


# The first of them everywhere, so that no interpreter is left out.
@pytest.mark.parametrize(
    "name", [name if name == "tqdm" else pytest.param(name, marks=pytest.mark.slow) for name in ASKED]
)
def test_a_library_gives_the_same_on_our_engine(name: str, tmp_path: Path) -> None:
    said, opened = run_on("ours", name, tmp_path / "ours")
    assert opened >= 1
    standard, none = run_on("standard", name, tmp_path / "standard")
    assert none == 0
    assert said == standard
    assert said
