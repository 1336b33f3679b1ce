"""Updates as far as they need no engine: what a start makes of those that were cut off, and what cannot begin."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dockpal_agent.apps.app import App
from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.ending import Parts
from dockpal_agent.apps.notes import Note, Notes
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.stages import ErrorCode, Stage
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


def test_one_by_itself_that_gets_no_thread_is_recorded_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = SimpleNamespace(
        engine=None,
        records=Records(tmp_path / "updates.jsonl"),
        notes=Notes(tmp_path / "updates"),
        checks=Checks(tmp_path / "checks.json"),
        stopping=threading.Event(),
        cleanup=False,
    )
    apps = {name: App(name, name, ()) for name in ("shop", "blog")}
    updates = Updates(cast(Parts, parts), apps.__getitem__, at_once=1)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    assert [updates.automatic(app, ["web"], lambda app: ["web"]) for app in apps.values()] == [None, None]

    for name in apps:
        record = parts.records.newest(name)
        assert (record.stage, record.error_code) == (Stage.FAILED, ErrorCode.PULL_ERROR)
        assert "can't start new thread; nothing was changed" in record.message
        assert not updates.running(name)
