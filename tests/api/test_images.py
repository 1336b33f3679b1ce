"""The calls for images as the Server and the original's clients make them, against a real engine and registry."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.messages import Body, End, Json, Messages, Query, Request
from dockpal_agent.api.service import Service
from dockpal_agent.config import Config
from dockpal_agent.house import house
from tests.engines.daemon import Daemon
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy
from tests.integration.updating import login_file


@pytest.fixture
def service(docker_socket: str, tmp_path: Path) -> Iterator[Service[Agent]]:
    config = Config(
        mode="direct",
        tokens=("t",),
        data_dir=tmp_path / "data",
        docker_socket=docker_socket,
        registry_auth_file=tmp_path / "config.json",  # not there, but for tests that write it
    )
    with house(config) as service:
        yield service


def call(
    service: Service[Agent], method: str, target: str, body: Any = None, accept: str = ""
) -> tuple[int, dict[str, Any]]:
    answer = service.answer(request_of(method, target, body, accept), trusted=True)
    assert isinstance(answer, Json)
    return answer.status, answer.value


def request_of(method: str, target: str, body: Any = None, accept: str = "") -> Request:
    path, _, query = target.partition("?")
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"accept": accept} if accept else {}
    return Request(method, path, Query.parse(query), headers, Body.of(data))


@pytest.fixture
def published(daemon: Daemon, registry: Registry, busybox: str, unique: str) -> Iterator[str]:
    """An image that the registry has and this host does not."""
    reference = registry.push(daemon, busybox, f"{unique}/app:1")
    yield reference
    daemon.answer("DELETE", f"/images/{reference}")


def has(daemon: Daemon, reference: str) -> bool:
    return daemon.answer("GET", f"/images/{reference}/json").status == 200


def standard(registry: Registry) -> str:
    return base64.b64encode(base64.urlsafe_b64decode(registry.auth)).decode()


@pytest.mark.parametrize("route", ["pull", "pull-force"])
@pytest.mark.parametrize("form", ["query", "json", "json auth"])
def test_a_pull_takes_image_and_credentials_from_the_query_or_the_body(
    service: Service[Agent], daemon: Daemon, registry: Registry, published: str, route: str, form: str
) -> None:
    target, body = f"/agent/docker/images/{route}", None
    if form == "query":
        target += f"?image={quote(published, safe='')}&auth={quote(standard(registry), safe='')}"
    else:
        body = {"image": published, "registry_auth" if form == "json" else "auth": registry.auth}

    assert call(service, "POST", target, body) == (200, {"status": "pulled"})

    assert has(daemon, published)


@pytest.mark.parametrize(
    ("target", "body", "status", "text"),
    [
        ("", None, 400, "image is required"),
        ("?image=", {"image": ""}, 400, "image is required"),
        ("", {"image": 5}, 400, "image must be a string"),
        ("?image=UPPER", None, 400, "lower case"),
        ("?image=x&auth=hunter2!", None, 400, "credentials are not valid"),
        ("?image=PUBLISHED", None, 403, "needs credentials"),
        ("?image=127.0.0.1:9/x", None, 502, "connection refused"),
    ],
)
def test_a_pull_that_fails_has_the_status_of_its_reason_and_dockers_words(
    service: Service[Agent], published: str, target: str, body: Any, status: int, text: str
) -> None:
    found, answer = call(service, "POST", "/docker/images/pull" + target.replace("PUBLISHED", published), body)

    assert found == status
    assert text in answer["error"] and "hunter2" not in answer["error"]


def test_an_image_that_the_registry_lacks_is_a_404(service: Service[Agent], registry: Registry, published: str) -> None:
    status, answer = call(service, "POST", f"/docker/images/pull?image={published}9&auth={registry.auth}")

    assert (status, "manifest unknown" in answer["error"]) == (404, True)


@pytest.mark.parametrize(("query", "accept"), [("&stream=true", ""), ("", "text/event-stream")])
def test_who_asks_for_a_stream_gets_progress_and_then_the_end(
    service: Service[Agent], registry: Registry, published: str, query: str, accept: str
) -> None:
    target = f"/docker/images/pull?image={published}&auth={registry.auth}{query}"

    told = messages(service, target, accept)

    assert any("id" in message for message in told)
    assert told[-1] == {"status": "pulled"}


def test_a_stream_tells_a_failure_as_its_last_message(service: Service[Agent], published: str) -> None:
    told = messages(service, f"/docker/images/pull?image={published}&stream=1")

    assert told[-1]["code"] == 403 and "needs credentials" in told[-1]["error"]


def messages(service: Service[Agent], target: str, accept: str = "") -> list[Any]:
    answer = service.answer(request_of("POST", target, accept=accept), trusted=True)
    assert isinstance(answer, Messages)
    stream = answer.open()
    told: list[Any] = []
    while True:
        try:
            message = stream.next(20.0)
        except End:
            stream.close()
            return told
        assert message is not None
        told.append(message)


def test_a_check_without_credentials_uses_the_hosts_own(
    service: Service[Agent], daemon: Daemon, registry: Registry, published: str, tmp_path: Path
) -> None:
    """The Server never sends any with a check."""
    assert call(service, "POST", f"/docker/images/pull?image={published}&auth={registry.auth}")[0] == 200
    path = f"/docker/images/check?image={published}"
    assert "needs credentials" in call(service, "GET", path)[1]["error"]

    login_file(tmp_path, registry)

    status, result = call(service, "GET", path)
    assert (status, result["has_update"]) == (200, False) and "error" not in result
    assert result["remote_digest"] == result["local_digest"]


def test_a_check_answers_200_whatever_it_finds(
    service: Service[Agent], daemon: Daemon, registry: Registry, published: str
) -> None:
    absent = call(service, "GET", f"/docker/images/check?image={published}")
    call(service, "POST", f"/docker/images/pull?image={published}&auth={registry.auth}")
    known = call(service, "GET", f"/docker/images/check?image={quote(published, safe='')}&auth={registry.auth}")
    denied = call(service, "GET", f"/docker/images/check?image={published}")

    assert absent[0] == known[0] == denied[0] == 200
    assert absent[1]["error"].startswith("local image not found") and absent[1]["has_update"] is False
    assert known[1]["local_digest"] == known[1]["remote_digest"] and "error" not in known[1]
    assert isinstance(known[1]["checked_at"], int)
    assert denied[1]["error"].startswith("registry query failed")
    assert call(service, "GET", "/docker/images/check?image=UPPER")[0] == 200
    assert call(service, "GET", "/docker/images/check")[0] == 400


@pytest.mark.parametrize("encoded", [True, False])
def test_an_image_is_removed_by_a_reference_in_the_path(
    service: Service[Agent], daemon: Daemon, registry: Registry, published: str, encoded: bool
) -> None:
    call(service, "POST", f"/docker/images/pull?image={published}&auth={registry.auth}")
    name = quote(published, safe="") if encoded else published

    assert call(service, "DELETE", f"/agent/docker/images/{name}") == (200, {"status": "removed"})

    assert not has(daemon, published)
    status, answer = call(service, "DELETE", f"/agent/docker/images/{name}")
    assert (status, answer["error"]) == (404, f"no such image: {published}")


def test_the_rows_of_the_list_have_the_types_that_the_server_decodes(service: Service[Agent], busybox: str) -> None:
    answer = service.answer(request_of("GET", "/docker/images"), trusted=True)

    assert isinstance(answer, Json)
    [row] = [row for row in answer.value if busybox in row["tags"]]
    assert {key: type(row[key]) for key in ("id", "repo", "tag", "size", "created")} == dict.fromkeys(
        ("id", "repo", "tag", "size", "created"), str
    )
    assert row["created"].isdigit() and len(row["id"]) == 16


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("?dangling_only=false", {"dangling": ["false"]}),
        ("?dangling_only=true", {"dangling": ["true"]}),
        ("", {"dangling": ["true"]}),
    ],
)
def test_a_prune_asks_docker_for_what_was_asked(
    docker_socket: str, tmp_path: Path, query: str, filters: dict[str, list[str]]
) -> None:
    with FaultProxy(docker_socket) as proxy:
        proxy.refuse("POST", "/images/prune", status=200)  # the engine is everybody's: it must not hear of this
        with house(Config(mode="direct", tokens=("t",), data_dir=tmp_path, docker_socket=proxy.socket_path)) as service:
            answer = call(service, "POST", f"/docker/images/prune{query}")
        asked = [call.query for call in proxy.seen if call.path == "/images/prune"]

    assert answer == (200, {"images_deleted": 0, "space_reclaimed": 0})
    assert [json.loads(Query.parse(text)["filters"]) for text in asked] == [filters]
