"""The command `phalanx`, also ``python -m phalanx``. Needs the extra `cli` (click and rich)."""

from __future__ import annotations

import sys

NEEDED = ("click", "rich")


def main() -> None:
    """Run the command line; without its dependencies, say how to get them."""
    try:
        from phalanx._cli.commands import phalanx
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in NEEDED:
            raise
        sys.exit(f'the phalanx command needs {package}: pip install "phalanx[cli]"')
    phalanx(prog_name="phalanx")
