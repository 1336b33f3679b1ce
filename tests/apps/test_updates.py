"""What an agent's start makes of updates that its end cut off, as far as that needs no engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dockpal_agent.apps.app import App
from dockpal_agent.apps.ending import Parts
from dockpal_agent.apps.notes import Note, Notes
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.updates import Updates


def begun(directory: Path) -> None:
    """What an agent's start does first."""
    parts = SimpleNamespace(records=Records(directory / "updates.jsonl"), notes=Notes(directory / "updates"))

    def find(name: str) -> App:
        pytest.fail(f"nobody asked for {name}")

    Updates(cast(Parts, parts), find, at_once=1).begin()


def test_the_ways_back_of_updates_that_have_ended_are_swept_but_not_where_nobody_can_tell(tmp_path: Path) -> None:
    records = tmp_path / "updates.jsonl"
    records.mkdir()
    Notes(tmp_path / "updates").write(Note("1-shop", "shop", {"nginx:1": "sha256:a"}))
    begun(tmp_path)
    assert Notes(tmp_path / "updates").read("1-shop") is not None

    records.rmdir()
    begun(tmp_path)

    assert Notes(tmp_path / "updates").read("1-shop") is None
