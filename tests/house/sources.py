"""The source of the package as the house tests see it: names, texts and syntax trees."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "phalanx"


@dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: Path

    @property
    def where(self) -> str:
        """The path below the package: what the tables of exceptions use."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def name(self) -> str:
        """The dotted name under which the file is imported."""
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def layer(self) -> str:
        """First part below `phalanx`: ``_policy``; empty for the top package itself."""
        return [*self.name.split("."), ""][1]

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def is_public(self) -> bool:
        """Whether users may import it: no part of its name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))

    def line(self, node: ast.AST) -> str:
        return f"{self.where}:{getattr(node, 'lineno', 0)}"


@lru_cache(maxsize=1)
def sources() -> tuple[Source, ...]:
    """Every file of the package, in a fixed order."""
    return tuple(Source(path) for path in sorted(PACKAGE.rglob("*.py")))


def imports(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """(statement, dotted name) of everything imported, `from a import b` being ``a.b``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def settings() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
