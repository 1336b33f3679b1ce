"""The calls for deploys and projects, as the Server and other clients make them; what is wrong is a clear 4xx."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dockpal_agent.house
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import status_of
from dockpal_agent.api.messages import Body, End, Json, Messages, Query, Request
from dockpal_agent.api.service import Service
from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.deployevents import NoSuchDeploy, TooManyViewers
from dockpal_agent.compose.deployment import FORESEEN
from dockpal_agent.compose.deployrequest import LARGEST_BODY
from dockpal_agent.compose.lanes import QueueFull, Stopping
from dockpal_agent.compose.options import Report
from dockpal_agent.compose.running import NoSuchProject
from dockpal_agent.config import Config
from dockpal_agent.engine.errors import EngineUnavailable
from dockpal_agent.house import house
from dockpal_agent.images.errors import RegistryDenied
from tests.compose.doubles import FakeConverge, yaml

BOUND = 20.0


@pytest.fixture
def converge(monkeypatch: pytest.MonkeyPatch) -> FakeConverge:
    converge = FakeConverge()
    monkeypatch.setattr(dockpal_agent.house, "converge", converge)
    return converge


@pytest.fixture
def service(converge: FakeConverge, docker_socket: str, tmp_path: Path) -> Iterator[Service[Agent]]:
    with house(Config(mode="direct", tokens=("t",), data_dir=tmp_path, docker_socket=docker_socket)) as service:
        yield service


def request_of(method: str, target: str, body: Any = None) -> Request:
    data = b"" if body is None else json.dumps(body).encode()
    return Request(method, target, Query(), {}, Body.of(data))


def call(service: Service[Agent], path: str, body: Any) -> tuple[int, Any]:
    answer = service.answer(request_of("POST", path, body), trusted=True)
    assert isinstance(answer, Json)
    return answer.status, answer.value


def watch(service: Service[Agent], deploy_id: str) -> list[dict[str, Any]]:
    """All events of a deploy, to the end."""
    answer = service.answer(request_of("GET", f"/agent/docker/deploy/stream/{deploy_id}"), trusted=True)
    assert isinstance(answer, Messages)
    stream = answer.open()
    found: list[dict[str, Any]] = []
    try:
        while True:
            event = stream.next(BOUND)
            assert isinstance(event, dict), found
            found.append(event)
    except End:
        return found
    finally:
        stream.close()


@pytest.mark.parametrize("key", ["compose", "compose_yaml"])
def test_a_deploy_waits_and_says_deployed_in_either_form(
    service: Service[Agent], converge: FakeConverge, key: str, unique: str
) -> None:
    body = {"name": unique, key: yaml(), "force_pull": False, "registry_auths": None}
    status, answer = call(service, "/agent/docker/deploy/compose", body)
    assert (status, answer["status"]) == (200, "deployed")
    assert converge.projects == [unique]


def test_a_streamed_deploy_answers_at_once_and_is_told_to_the_end(
    service: Service[Agent], converge: FakeConverge, unique: str
) -> None:
    released = threading.Event()

    def script(report: Report) -> None:
        assert released.wait(BOUND)

    converge.script = script
    status, answer = call(service, "/docker/deploy/stream", {"name": unique, "compose": yaml()})
    assert status == 200 and set(answer) == {"deploy_id"} and not released.is_set()
    released.set()
    events = watch(service, answer["deploy_id"])
    assert all(set(event) == {"step", "message", "status", "time"} for event in events)
    assert (events[-1]["step"], events[-1]["status"]) == ("complete", "done")


def test_an_unknown_deploy_is_a_404_before_the_upgrade(service: Service[Agent]) -> None:
    answer = service.answer(request_of("GET", "/agent/docker/deploy/stream/deploy-0000000000000000"), trusted=True)
    assert isinstance(answer, Messages)
    with pytest.raises(Exception, match="session not found") as caught:
        answer.open()
    assert service.failure(caught.value).status == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "name is required"),
        ({"name": 7, "compose": "x"}, 400, "name must be a string"),
        ({"name": "a/b", "compose": "x"}, 400, "name may have"),
        ({"name": "../../etc", "compose": "x"}, 400, "name may have"),
        ({"name": "a\0b", "compose": "x"}, 400, "name may have"),
        ({"name": "x" * 129, "compose": "x"}, 400, "name may have"),
        ({"name": "app"}, 400, "compose is required"),
        ({"name": "app", "compose": ["services"]}, 400, "compose must be a string"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "force_pull": "no"}, 400, "force_pull"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "registry_auths": {"r": 1}}, 400, "registry_auths"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "env": ["A=1"]}, 400, "env must be an object"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "env": {"A=": "1"}}, 400, "name of a variable"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "profiles": "dev"}, 400, "profiles"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {"/etc/x": ""}}, 400, "relative"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {"a/../../x": ""}}, 400, "without .."),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {".env": ""}}, 400, "env_file"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {".dockpal/x": ""}}, 400, ".dockpal"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {"a": "", "a/b": ""}}, 400, "below another"),
        ({"name": "app", "compose": "services: {a: {image: x}}", "files": {"a": 1}}, 400, "must be a string"),
        ({"name": "app", "compose": "\ud800"}, 400, "Unicode"),
    ],
)
def test_a_malformed_deploy_is_refused_with_what_is_wrong(
    service: Service[Agent], converge: FakeConverge, tmp_path: Path, body: Any, status: int, words: str
) -> None:
    for path in ("/docker/deploy/compose", "/docker/deploy/stream", "/docker/deploy/plan"):
        got, answer = call(service, path, body)
        assert (got, words in answer["error"]) == (status, True), answer
    assert converge.asked == [] and not (tmp_path / "compose").exists()


def many_services() -> str:
    return "services:\n" + "".join(f"  s{number}: {{image: a}}\n" for number in range(10_000))


HOSTILE = {
    "an alias bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi"))
        + "services: {web: {image: x, command: *i}}\n",
        (400, 413),
    ),
    "more than the largest file": ("#" * (600 << 10) + "\nservices: {web: {image: x}}\n", (413,)),
    "10 MB": ("#" * (10 << 20), (413,)),
    "10,000 services": (many_services(), (413,)),
    "a trillion replicas": ("services: {a: {image: x, scale: 1000000000000}}", (400,)),
    "a cycle": ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", (400,)),
    "100,000 levels": ("services: " + "[" * 100_000, (400, 413)),
    "a NUL": ("services: {web: {image: x\0}}", (400,)),
    "no mapping": ("- a", (400,)),
    "a path as the service's name": ("services: {../../etc: {image: x}}", (400,)),
}


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_file_is_a_clear_4xx(
    service: Service[Agent], converge: FakeConverge, tmp_path: Path, case: str
) -> None:
    compose, expected = HOSTILE[case]
    status, answer = call(service, "/docker/deploy/compose", {"name": "app", "compose": compose})
    assert status in expected and len(answer["error"]) < 20_000, answer["error"][:300]
    assert converge.asked == [] and not (tmp_path / "compose" / "app").exists()


def test_a_body_past_the_limit_is_refused_unread(service: Service[Agent]) -> None:
    def refuse(most: int) -> bytes:
        raise AssertionError("the body was read")

    body = Body(refuse, LARGEST_BODY + 1, "application/json")
    answer = service.answer(Request("POST", "/docker/deploy/stream", body=body), trusted=True)
    assert isinstance(answer, Json) and answer.status == 413


@pytest.mark.parametrize(
    ("cause", "status"), [(RegistryDenied("no"), 403), (EngineUnavailable("away"), 503), (None, 502)]
)
def test_a_deploy_that_fails_has_the_status_of_its_cause_and_its_whole_text(
    service: Service[Agent], converge: FakeConverge, unique: str, cause: Any, status: int
) -> None:
    def script(report: Report) -> None:
        raise ConvergeFailed("web: denied; nothing was changed", restored=True) from cause

    converge.script = script
    got, answer = call(service, "/docker/deploy/compose", {"name": unique, "compose": yaml()})
    assert (got, answer["error"]) == (status, "web: denied; nothing was changed")


@pytest.mark.parametrize("path", ["/docker/compose/stop", "/docker/compose/remove", "/compose/stop", "/compose/remove"])
@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 1}, {"name": "../x"}, {"name": "---"}])
def test_stop_and_remove_want_a_name(service: Service[Agent], path: str, body: Any) -> None:
    assert call(service, path, body)[0] == 400


@pytest.mark.parametrize("kind", [*FORESEEN, QueueFull, Stopping, NoSuchDeploy, TooManyViewers, NoSuchProject])
def test_every_error_of_deploys_has_a_status(kind: type[Exception]) -> None:
    assert status_of(kind.__new__(kind)) in range(400, 520)
