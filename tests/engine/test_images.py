"""References taken apart, and the errors that hide in a pull's 200 stream."""

from __future__ import annotations

import json

import pytest

from dockpal_agent.engine import DaemonFailed, Denied, Engine, EngineRefused, NotFound, images
from tests.engine.scripted import ScriptedDaemon, chunked, refused

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("app", "app", ""),
        ("app:1", "app", "1"),
        ("host:5000/app", "host:5000/app", ""),
        ("host:5000/team/app:1.2", "host:5000/team/app", "1.2"),
        (f"app@{DIGEST}", "app", DIGEST),
        (f"host:5000/app:1@{DIGEST}", "host:5000/app", DIGEST),
    ],
)
def test_a_reference_comes_apart(reference: str, name: str, version: str) -> None:
    assert images.split_reference(reference) == (name, version)


def test_a_pull_names_one_tag_and_passes_the_credentials_in_a_header_only() -> None:
    with ScriptedDaemon() as scripted:
        scripted.replies["/images/create"] = chunked(b'{"status": "Pulling"}\r\n{"status": "Done"}\r\n')
        client = Engine(scripted.socket_path)
        progress = list(images.pull(client, "host:5000/app", auth="c2VjcmV0"))
        assert [step["status"] for step in progress] == ["Pulling", "Done"]
        (heard,) = scripted.heard
        assert heard.path == "/v1.41/images/create?fromImage=host%3A5000%2Fapp&tag=latest"
        assert heard.headers["x-registry-auth"] == "c2VjcmV0"


@pytest.mark.parametrize(
    ("last", "kind", "words"),
    [
        (
            {"errorDetail": {"message": "manifest unknown"}, "error": "manifest unknown"},
            DaemonFailed,
            "manifest unknown",
        ),
        ({"error": "no space left on device"}, DaemonFailed, "no space left on device"),
        ({"errorDetail": {"code": 401, "message": "unauthorized"}, "error": "x"}, Denied, "unauthorized"),
        ({"errorDetail": {"code": 404, "message": "not found"}}, NotFound, "not found"),
        ({"errorDetail": {"code": 1, "message": "exit 1"}}, DaemonFailed, "exit 1"),
        ({"errorDetail": "odd", "error": "odd words"}, DaemonFailed, "odd words"),
    ],
)
def test_an_error_in_the_stream_of_a_200_is_raised(last: object, kind: type[EngineRefused], words: str) -> None:
    with ScriptedDaemon() as scripted:
        stream = b'{"status": "Pulling"}\r\n' + json.dumps(last).encode() + b"\r\n"
        scripted.replies["/images/create"] = chunked(stream)
        progress = images.pull(Engine(scripted.socket_path), "app:1")
        assert next(progress) == {"status": "Pulling"}
        with pytest.raises(kind) as caught:
            next(progress)
        assert str(caught.value) == words


def test_an_error_status_of_a_pull_is_raised() -> None:
    with ScriptedDaemon() as scripted:
        scripted.replies["/images/create"] = refused(404, "pull access denied for app")
        with pytest.raises(NotFound, match="pull access denied for app"):
            list(images.pull(Engine(scripted.socket_path), "app:1"))
