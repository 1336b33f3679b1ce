"""The stat that comes in a header field."""

from __future__ import annotations

import base64
import json

import pytest

from dockpal_agent.engine import Engine, EngineBroken, archive
from tests.engine.scripted import ScriptedDaemon, said


def stat_of(text: str) -> archive.PathStat:
    with ScriptedDaemon() as scripted:
        scripted.replies["/containers/web/archive"] = said(headers=[f"X-Docker-Container-Path-Stat: {text}"])
        return archive.stat(Engine(scripted.socket_path), "web", "/x")


@pytest.mark.parametrize(
    ("mode", "directory", "symlink", "file", "permissions"),
    [
        (0o644, False, False, True, 0o644),
        (1 << 31 | 1 << 20 | 0o777, True, False, False, 0o1777),
        (1 << 27 | 0o777, False, True, False, 0o777),
        (1 << 23 | 0o755, False, False, True, 0o4755),
        (1 << 22 | 0o755, False, False, True, 0o2755),
        (1 << 26 | 1 << 21 | 0o666, False, False, False, 0o666),
        (1 << 25 | 0o600, False, False, False, 0o600),
    ],
)
def test_the_kind_and_the_permissions_are_read_from_gos_mode(
    mode: int, directory: bool, symlink: bool, file: bool, permissions: int
) -> None:
    value = {"name": "x", "size": 7, "mode": mode, "mtime": "2024-01-01T00:00:00Z", "linkTarget": "/y"}
    found = stat_of(base64.b64encode(json.dumps(value).encode()).decode())
    assert (found.name, found.size, found.modified, found.link_target) == ("x", 7, "2024-01-01T00:00:00Z", "/y")
    assert (found.is_directory, found.is_symlink, found.is_file) == (directory, symlink, file)
    assert found.permissions == permissions


@pytest.mark.parametrize(
    "text", ["", "!", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"name": "x"}').decode()]
)
def test_a_field_that_cannot_be_read_is_broken(text: str) -> None:
    with pytest.raises(EngineBroken):
        stat_of(text)
