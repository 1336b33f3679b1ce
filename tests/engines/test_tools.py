"""The tools that start engines: what they find missing, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import engines


def test_a_program_that_is_not_there_names_its_package_and_one_that_is_does_not() -> None:
    assert engines.wanting({"no-such-program": "its-package", "sh": "dash"}) == ["its-package"]


def test_without_root_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(engines.EngineProblem, match=r"missing: docker\.io.*: apt-get update &&"):
        engines.install(["docker.io"])


def test_nothing_missing_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: pytest.fail("something was run"))
    engines.install([])


@pytest.mark.usefixtures("docker_socket")
def test_an_engine_that_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: pytest.fail("an engine was started"))
    engines.start_engine()


def test_the_record_of_an_ended_daemon_is_removed_and_that_of_a_living_one_is_kept(tmp_path: Path) -> None:
    record = tmp_path / "daemon.pid"
    name = Path("/proc/self/comm").read_text().strip()
    record.write_text(str(os.getpid()))
    engines._forget_ended(record, name)
    assert record.exists()
    engines._forget_ended(record, "dockerd")
    assert not record.exists()
    engines._forget_ended(record, "dockerd")


def test_an_engine_that_was_not_started_here_is_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "OLD", tmp_path)
    monkeypatch.setattr(os, "kill", lambda pid, number: pytest.fail(f"{pid} was signalled"))
    assert not engines.stop_engine()
    (tmp_path / "dockerd.pid").write_text(str(os.getpid()))
    assert not engines.stop_engine()
