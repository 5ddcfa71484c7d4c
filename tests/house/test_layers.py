"""Imports point one way, and only `_platform` asks which system this is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.sources import PACKAGE, Source, imports, settings, sources

# What each package may import of ours.  import-linter checks the imports (`make check`); here we check that
# its contracts say the same as this table, and that no package is without one.
MAY_IMPORT: dict[str, set[str]] = {
    "_base": set(),
    "_policy": {"_base"},
    "_wire": {"_base"},
    "_platform": {"_base"},
    "_transport": {"_base", "_wire", "_platform"},
    "_memory": {"_base", "_platform"},
    "_sync": {"_base", "_platform"},
    "_launch": {"_base", "_transport", "_platform"},
    "_worker": {"_base", "_wire", "_transport", "_memory", "_platform"},
    "_engine": {"_base", "_policy", "_wire", "_transport", "_memory", "_platform"},
    "_observe": {"_base"},
}
MAY_IMPORT["_api"] = set(MAY_IMPORT)
MAY_IMPORT["_cli"] = set(MAY_IMPORT)

PURE = {"_base", "_policy", "_wire"}
IMPURE = "asyncio concurrent logging multiprocessing os random select selectors signal socket"
IMPURE += " subprocess threading time"


def contracts() -> dict[str, tuple[set[str], set[str]]]:
    """Contract id -> (sources, forbidden), without the leading ``phalanx.``."""

    def short(names: list[str]) -> set[str]:
        return {name.removeprefix("phalanx.") for name in names}

    found = settings()["tool"]["importlinter"]["contracts"]
    assert {contract["type"] for contract in found} == {"forbidden"}
    return {c["id"]: (short(c["source_modules"]), short(c["forbidden_modules"])) for c in found}


def test_every_package_stands_in_the_table() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("_*/__init__.py")}
    assert packages == set(MAY_IMPORT)


def test_contracts_forbid_what_the_table_does_not_allow() -> None:
    expected = {}
    for package, allowed in MAY_IMPORT.items():
        forbidden = set(MAY_IMPORT) - allowed - {package}
        if forbidden:
            expected[package.removeprefix("_")] = ({package}, forbidden)
    expected["pure"] = (PURE, set(IMPURE.split()))
    assert contracts() == expected


def test_the_table_has_no_cycles() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        free = {package for package, allowed in MAY_IMPORT.items() if package not in done and allowed <= done}
        assert free, f"these import each other: {set(MAY_IMPORT) - done}"
        done |= free


def test_nothing_below_the_command_line_imports_a_public_module() -> None:
    """The top package and the other doors are for users; inside, a name has one place."""
    wrong = []
    for source in sources():
        if source.layer not in MAY_IMPORT or source.layer == "_cli":
            continue
        for node, name in imports(source):
            head, _, rest = name.partition(".")
            if head == "phalanx" and rest.split(".")[0] not in MAY_IMPORT:
                wrong.append(f"{source.line(node)} imports {name}")
    assert not wrong


def system_questions(source: Source) -> Iterator[str]:
    asked = {("sys", "platform"), ("os", "name"), ("os", "uname")}
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in asked:
                yield f"{source.line(node)} asks {module}.{name}"
    for node, name in imports(source):
        if name in {".".join(pair) for pair in asked} or name.split(".")[0] == "platform":
            yield f"{source.line(node)} imports {name}"


def test_only_platform_asks_which_system_this_is() -> None:
    assert not [q for source in sources() if source.layer != "_platform" for q in system_questions(source)]
