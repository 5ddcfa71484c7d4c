"""A notebook, run by a real kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.promises.programs import said_by

# Runs the cells that it reads, and writes what each has shown. In a process of its own: what nbclient starts, and
# when that ends, is not ours to check.
RUNNER = """
import json, sys
import nbformat
from nbclient import NotebookClient

cells = json.load(sys.stdin)
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(notebook, timeout=40, kernel_name="python3").execute()
shown = []
for cell in notebook.cells:
    texts = {"stdout": "", "stderr": "", "result": ""}
    for output in cell.outputs:
        if output.output_type == "stream":
            texts[output.name] += output.text
        else:
            texts["result"] += output.data["text/plain"]
    shown.append(texts)
json.dump(shown, sys.stdout)
"""


def show(cells: list[str], folder: Path) -> list[dict[str, str]]:
    said = said_by("-W", "ignore", "-c", RUNNER, stdin=json.dumps(cells), folder=folder)
    shown: Any = json.loads(said)
    return list(shown)


@pytest.mark.slow
def test_cells_that_define_and_define_anew(start_method: str, tmp_path: Path) -> None:
    cells = [
        (
            f"import phalanx\ncontext = phalanx.get_context({start_method!r})\n"
            "pool = phalanx.Pool(2, context=context)\nexecutor = phalanx.Executor(2, mp_context=context)\n"
            "def both(f, x):\n    return pool.map(f, [x]), executor.submit(f, x).result()"
        ),
        "scale = 2\ndef scaled(x):\n    return helper(x) * scale\ndef helper(x):\n    return x + 1",
        "both(scaled, 1)",
        "def helper(x):\n    return x + 10",
        "both(scaled, 1)",
        "class Point:\n    def __init__(self, x):\n        self.x = x\ndef move(p):\n    return Point(p.x + 1)",
        "[back], other = both(move, Point(1))\nisinstance(back, Point), isinstance(other, Point), back.x, other.x",
        "class Point:\n    def __init__(self, x):\n        self.x = x * 100",
        "[back], other = both(move, Point(1))\nisinstance(back, Point), isinstance(other, Point), back.x, other.x",
        "both(lambda x: x + scale, 1)",
        f"phalanx.map(scaled, [1, 2], workers=2, start_method={start_method!r})",
        f"phalanx.map(print, ['in the cell'], capture='forward', start_method={start_method!r})",
        "async def later():\n    return both(helper, 1)\nawait later()",
        "pool.terminate()\nexecutor.shutdown()",
    ]
    shown = show(cells, tmp_path)
    assert [each["result"] for each in shown if each["result"]] == [
        "([4], 4)",
        "([22], 22)",
        "(True, True, 2, 2)",
        "(True, True, 10100, 10100)",
        "([3], 3)",
        "[22, 24]",
        "[None]",
        "([11], 11)",
    ]
    assert [each["stdout"] for each in shown if each["stdout"]] == ["in the cell\n"]
    # Under fork there is one: the kernel has threads.
    warned = [each["stderr"] for each in shown if each["stderr"]]
    assert all("workers are forked while" in text for text in warned)
    assert not warned or start_method == "fork"


@pytest.mark.slow
def test_a_cell_that_is_interrupted_leaves_the_pool_usable(tmp_path: Path) -> None:
    cells = [
        "import os, signal, threading, time, phalanx\npool = phalanx.Pool(2)\npool.map(abs, range(4))",
        "def sleep(x):\n    time.sleep(600)",
        (
            "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "try:\n    pool.map(sleep, range(4))\nexcept KeyboardInterrupt:\n    print('interrupted')"
        ),
        "pool.map(abs, [-1])",
        "pool.terminate()",
    ]
    shown = show(cells, tmp_path)
    assert shown[2]["stdout"] == "interrupted\n"
    assert shown[3]["result"] == "[1]"
