"""Holds that imports run downwards only: transport → api → domain → engine, the four plain modules at the bottom.

`MAY_IMPORT` is the rule; a room that is not in it, or an import that it does not name, fails `make check`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["MAY_IMPORT", "main", "violations"]

PACKAGE: Final = "dockpal_agent"
BOTTOM: Final = frozenset({"durations", "storage", "config", "log", "memory"})
DOMAIN: Final = frozenset({"containers", "images", "files", "compose", "apps", "host"})
EVERYTHING: Final = BOTTOM | DOMAIN | {"engine", "api", "transport", "agent", "house", "cli", "doctor", "probe"}

# What a room may import besides itself, `dockpal_agent` (the version) and libraries.
MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "__main__": EVERYTHING,
    "cli": EVERYTHING,
    "agent": EVERYTHING,
    "house": EVERYTHING,  # puts the parts together
    "doctor": BOTTOM | {"engine", "probe", "transport"},
    "probe": BOTTOM,
    "transport": BOTTOM | {"api"},
    "api": BOTTOM | DOMAIN | {"engine"},
    "apps": BOTTOM | {"compose", "containers", "images", "engine"},
    "compose": BOTTOM | {"containers", "images", "engine"},
    "containers": BOTTOM | {"images", "engine"},
    "images": BOTTOM | {"engine"},
    "files": BOTTOM | {"engine"},
    "host": BOTTOM | {"engine"},
    "engine": frozenset({"durations", "log"}),
    "config": frozenset({"durations"}),
    "storage": frozenset(),
    "log": frozenset(),
    "memory": frozenset(),
    "durations": frozenset(),
}


def violations(root: Path) -> Iterator[str]:
    """One line for each import that the table does not allow, `file:line: what`; `root` holds the package."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        room = parts[0]
        if room == "__init__":
            continue
        if room not in MAY_IMPORT:
            yield f"{path.relative_to(root)}: the room {room} is not in the table of tools/imports.py"
            continue
        for line, target in _imported_rooms(path):
            if target != room and target not in MAY_IMPORT[room]:
                yield f"{path.relative_to(root)}:{line}: {room} may not import {target}"


def _imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of our own package, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            names = [f"{PACKAGE}.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.startswith(PACKAGE + "."):
                yield node.lineno, name.split(".")[1]


def main() -> int:
    found = list(violations(Path(__file__).resolve().parent.parent))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
