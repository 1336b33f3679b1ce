"""The rule on imports that `make check` holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from build import ROOT
from tools.imports import MAY_IMPORT, violations


def _package(root: Path, room: str, line: str) -> Path:
    folder = root / "dockpal_agent" / room
    folder.mkdir(parents=True)
    (folder / "module.py").write_text(line + "\n")
    return root


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("engine", "from dockpal_agent.api.errors import BadRequest"),
        ("containers", "from dockpal_agent import apps"),
        ("transport", "import dockpal_agent.engine.client"),
        ("images", "def late():\n    from dockpal_agent.containers import stats"),
        ("unheard_of", "x = 1"),
    ],
)
def test_an_import_upwards_or_a_room_without_a_rule_is_named(room: str, line: str, tmp_path: Path) -> None:
    assert [room in found for found in violations(_package(tmp_path, room, line))] == [True]


@pytest.mark.parametrize("line", ["from dockpal_agent import __version__", "from dockpal_agent.engine import Engine"])
def test_imports_downwards_are_free(line: str, tmp_path: Path) -> None:
    assert list(violations(_package(tmp_path, "apps", line))) == []


def test_the_package_keeps_the_rule() -> None:
    assert list(violations(ROOT)) == []


def test_no_two_rooms_may_import_each_other() -> None:
    rooms = set(MAY_IMPORT) - {"agent", "house", "cli", "__main__", "doctor", "probe"}
    assert not [(one, other) for one in rooms for other in MAY_IMPORT[one] & rooms if one in MAY_IMPORT[other]]
