"""Files and functions stay small enough to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import Source, sources

LONGEST_FILE = 350
LONGEST_FUNCTION = 60

# Where -> reason.  A file is "_engine/loop.py", a function "_engine/loop.py:Loop.run".
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """(where, number of lines) of each function, decorators and inner functions included."""

    def visit(node: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            name = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}.{child.name}" if inside else child.name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                yield f"{source.where}:{name}", (child.end_lineno or first) - first + 1
            yield from visit(child, name)

    yield from visit(source.tree, "")


def test_files_are_short() -> None:
    sizes = {source.where: len(source.text.splitlines()) for source in sources()}
    long = {where: size for where, size in sizes.items() if size > LONGEST_FILE and where not in LONG_FILES}
    assert not long, f"files of more than {LONGEST_FILE} lines: {long}"


def test_functions_are_short() -> None:
    sizes = dict(size for source in sources() for size in functions(source))
    long = {w: size for w, size in sizes.items() if size > LONGEST_FUNCTION and w not in LONG_FUNCTIONS}
    assert not long, f"functions of more than {LONGEST_FUNCTION} lines: {long}"


def test_every_listed_exception_is_still_needed() -> None:
    files = {source.where: len(source.text.splitlines()) for source in sources()}
    callables = dict(size for source in sources() for size in functions(source))
    stale = [where for where in LONG_FILES if files.get(where, 0) <= LONGEST_FILE]
    stale += [where for where in LONG_FUNCTIONS if callables.get(where, 0) <= LONGEST_FUNCTION]
    assert not stale


def test_length_counts_decorators_and_names_the_class() -> None:
    source = Source(sources()[0].path)
    source.__dict__["tree"] = ast.parse("class A:\n    @decorated\n    def f(self):\n        pass\n")
    assert list(functions(source)) == [(f"{source.where}:A.f", 3)]
