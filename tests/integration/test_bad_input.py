"""What clients get wrong, on every route of the table: a clear 4xx as `{"error": …}`, never a 5xx, never a trace."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from dockpal_agent.api.messages import JSON_LIMIT
from dockpal_agent.api.routes import ROUTES
from dockpal_agent.config import Config, Listen
from dockpal_agent.house import house
from dockpal_agent.transport.direct.server import DirectServer

TOKEN = {"Authorization": "Bearer bad-input"}
NOBODY = "no-such-thing-here"
READING_BODIES = [route for route in ROUTES if route.method in ("POST", "PUT", "PATCH") and route.pattern != "/enroll"]
# These change all there is, or answer for the host alone: an empty or odd body means nothing to them.
WITHOUT_BODY = ("/docker/images/prune", "/enroll")


@pytest.fixture(scope="module")
def port(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    data: Path = tmp_path_factory.mktemp("data")
    config = Config(mode="direct", tokens=("bad-input",), data_dir=data, docker_socket=docker_socket)
    with house(config) as service:
        server = DirectServer(service, [Listen("127.0.0.1", 0)])
        server.start()
        yield server.port
        server.stop(5.0)


def ask(
    port: int,
    method: str,
    path: str,
    body: Union[bytes, Iterator[bytes], None] = None,
    headers: Optional[dict[str, str]] = None,
) -> tuple[int, Any]:
    """(status, JSON value) of one call with the token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {**TOKEN, "Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def fill(pattern: str, value: str) -> str:
    """The route's path with every parameter set to `value`."""
    return "/agent" + "/".join(value if part.startswith(":") else part for part in pattern.split("/"))


def refused(answer: tuple[int, Any], *statuses: int) -> str:
    status, value = answer
    assert status in statuses, answer
    assert isinstance(value["error"], str) and value["error"]
    assert "Traceback" not in value["error"]
    assert "404 page not found" not in value["error"]
    return str(value["error"])


@pytest.mark.parametrize("route", READING_BODIES, ids=lambda route: f"{route.method} {route.pattern}")
@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[1, 2]", b'"text"', b"[" * 70_000, b'{"a": NaN}'],
    ids=["cut off", "no UTF-8", "a list", "a text", "nested", "NaN"],
)
def test_a_body_that_is_no_json_object_is_never_taken_for_one(port: int, route: Any, body: bytes) -> None:
    """A route that reads no body may ignore it, and then speaks of what its path or query names."""
    if route.pattern in WITHOUT_BODY or "application/json" not in route.content:
        return
    refused(ask(port, route.method, fill(route.pattern, NOBODY), body), 400, 404)


@pytest.mark.parametrize("route", READING_BODIES, ids=lambda route: f"{route.method} {route.pattern}")
def test_values_of_a_wrong_type_are_named(port: int, route: Any) -> None:
    if route.pattern in WITHOUT_BODY or "application/json" not in route.content:
        return
    wrong = {
        name: {"a": [1]}
        for name in ("name", "image", "container", "path", "content", "compose", "env", "ports", "volumes", "enabled")
    }
    refused(ask(port, route.method, fill(route.pattern, NOBODY), json.dumps(wrong).encode()), 400, 404)


# What names nothing is told inside these answers: an unknown app has no updates, a stream of figures one message.
TOLD_INSIDE = ("/docker/apps/:name/updates", "/docker/containers/:id/stats/ws")
NAMING = [route for route in ROUTES if ":" in route.pattern and route.pattern not in TOLD_INSIDE]


@pytest.mark.parametrize("route", NAMING, ids=lambda route: f"{route.method} {route.pattern}")
def test_unknown_and_impossible_names_in_the_path_are_told_apart_from_faults(port: int, route: Any) -> None:
    for value in (NOBODY, "a" * 64, "%00", "%ff", "a" * 700, "%2e%2e", "..%2f..", "x%2f..%2fy", "%20", "-x", "a%0ab"):
        refused(ask(port, route.method, fill(route.pattern, value)), 400, 404)


@pytest.mark.parametrize("route", READING_BODIES, ids=lambda route: f"{route.method} {route.pattern}")
def test_a_body_announced_as_huge_is_refused_unread(port: int, route: Any) -> None:
    """The announced length alone is enough: no byte of it is sent."""
    if route.pattern in WITHOUT_BODY or "application/json" not in route.content:
        return
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(route.method, fill(route.pattern, NOBODY))
        for name, value in {**TOKEN, "Content-Type": "application/json", "Content-Length": str(8 << 30)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status in (400, 404, 413)
        assert json.loads(answer.read())["error"]
    finally:
        connection.close()


def test_a_json_body_that_grows_past_the_limit_is_a_413(port: int) -> None:
    body = b'{"name": "' + b"x" * JSON_LIMIT + b'"}'

    assert "too large" in refused(ask(port, "PUT", f"/agent/docker/containers/{NOBODY}", body), 413)


@pytest.mark.parametrize("query", ["all=maybe", "all=%ff", "&".join(f"x{n}=1" for n in range(200))])
def test_a_query_that_cannot_be_is_refused(port: int, query: str) -> None:
    refused(ask(port, "GET", f"/agent/docker/containers?{query}"), 400)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/agent", 404),
        ("GET", "/agent/docker", 404),
        ("GET", "/agent/docker/containers/a/b/c", 404),
        ("PATCH", "/agent/docker/containers", 405),
        ("PUT", "/agent/ping", 405),
        ("GET", "/agent/" + "x" * 5000, 400),
    ],
)
def test_paths_and_methods_that_do_not_exist(port: int, method: str, path: str, status: int) -> None:
    refused(ask(port, method, path), status, *([414] if status == 400 else []))


def test_a_body_of_another_type_is_a_415(port: int) -> None:
    answer = ask(port, "PUT", f"/agent/docker/containers/{NOBODY}", b"<x/>", {"Content-Type": "text/xml"})

    assert "application/json" in refused(answer, 415)
