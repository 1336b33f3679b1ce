"""A request in, an answer out, never an exception."""

from __future__ import annotations

import logging

import pytest

from dockpal_agent.api.auth import Guard
from dockpal_agent.api.errors import ApiError, Conflict
from dockpal_agent.api.messages import Body, Json, Query, Request, Response
from dockpal_agent.api.router import Route, Router
from dockpal_agent.api.service import Service
from dockpal_agent.engine import errors as engine


def echo(agent: str, request: Request) -> Response:
    return Json(
        {"agent": agent, "path": dict(request.path), "body": request.json() if request.method == "POST" else None}
    )


FAILURES: dict[str, Exception] = {
    "conflict": Conflict("it is in use"),
    "daemon-404": engine.NotFound("No such container: web", 404),
    "daemon-409": engine.Conflict("name in use", 409),
    "daemon-400": engine.BadParameter("bad port", 400),
    "daemon-500": engine.DaemonFailed("driver failed", 500),
    "away": engine.EngineUnavailable("no daemon"),
    "late": engine.EngineTimeout("too slow"),
    "broken": engine.EngineBroken("cut off"),
    "unforeseen": KeyError("secret detail"),
}


def fail(agent: str, request: Request) -> Response:
    raise FAILURES[request.path["how"]]


@pytest.fixture
def service() -> Service[str]:
    routes: list[Route[str]] = [
        Route("GET", "/open", echo, public=True, status_ignored=True, prompt=True),
        Route("GET", "/things/:id", echo),
        Route("POST", "/things", echo),
        Route("GET", "/stream", echo, stream=True),
        Route("GET", "/fail/:how", fail),
    ]
    return Service(Router(routes), Guard(("token",), sleep=lambda seconds: None), "agent")


def ask(service: Service[str], method: str, target: str, token: str = "token", **more: object) -> Json:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = service.answer(Request(method, target, headers=headers, **more))  # type: ignore[arg-type]
    assert isinstance(answer, Json)
    return answer


def test_a_handler_gets_the_agent_and_the_parameters(service: Service[str]) -> None:
    assert ask(service, "GET", "/agent/things/a%20b").value == {"agent": "agent", "path": {"id": "a b"}, "body": None}


def test_a_public_route_needs_no_token_and_every_other_path_does(service: Service[str]) -> None:
    assert ask(service, "GET", "/open", token="").status == 200
    for target in ("/things/1", "/nothing", "/fail/x"):
        answer = ask(service, "GET", target, token="")
        assert (answer.status, answer.value) == (401, {"error": "missing authorization"})
    assert ask(service, "PUT", "/things/1", token="wrong").value == {"error": "invalid token"}


def test_a_trusted_peer_needs_no_token(service: Service[str]) -> None:
    answer = service.answer(Request("GET", "/things/1"), trusted=True)

    assert isinstance(answer, Json)
    assert answer.status == 200


def test_the_query_token_counts_only_for_an_upgrade_of_a_stream(service: Service[str]) -> None:
    query = Query({"token": "token"})

    assert ask(service, "GET", "/stream", token="", query=query, upgrade=True).status == 200
    assert ask(service, "GET", "/stream", token="", query=query).status == 401
    assert ask(service, "GET", "/things/1", token="", query=query, upgrade=True).status == 401


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("conflict", 409),
        ("daemon-400", 400),
        ("daemon-404", 404),
        ("daemon-409", 409),
        ("daemon-500", 502),
        ("away", 503),
        ("late", 504),
        ("broken", 502),
    ],
)
def test_a_failure_keeps_its_words_and_gets_the_fitting_status(service: Service[str], how: str, status: int) -> None:
    answer = ask(service, "GET", f"/fail/{how}")

    assert (answer.status, answer.value) == (status, {"error": str(FAILURES[how])})


def test_what_nobody_foresaw_is_logged_under_a_reference_and_shows_nothing(
    service: Service[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = ask(service, "GET", "/fail/unforeseen")

    assert answer.status == 500
    assert "secret detail" not in answer.value["error"]
    reference = answer.value["error"].split()[-1]
    assert reference in caplog.text
    assert "KeyError" in caplog.text


def test_an_unknown_path_and_a_wrong_method_are_told_apart(service: Service[str]) -> None:
    assert ask(service, "GET", "/nothing").status == 404
    answer = ask(service, "DELETE", "/things/1")
    assert (answer.status, answer.headers) == (405, {"Allow": "GET, HEAD"})


@pytest.mark.parametrize(("kind", "status"), [("application/json; charset=utf-8", 200), ("", 200), ("text/xml", 415)])
def test_a_body_of_a_type_that_the_route_does_not_read_is_refused(
    service: Service[str], kind: str, status: int
) -> None:
    assert ask(service, "POST", "/things", body=Body.of(b"{}", kind)).status == status


def test_an_empty_body_may_have_any_type(service: Service[str]) -> None:
    assert ask(service, "POST", "/things", body=Body.of(b"", "text/xml")).status == 200


def test_which_statuses_the_server_ignores_is_known_for_each_path(service: Service[str]) -> None:
    assert service.status_ignored(Request("GET", "/agent/open"))
    assert not service.status_ignored(Request("GET", "/things/1"))
    assert not service.status_ignored(Request("GET", "/nothing"))


def test_which_requests_are_answered_whatever_docker_does_is_known_for_each_path(service: Service[str]) -> None:
    assert service.prompt(Request("GET", "/agent/open"))
    assert not service.prompt(Request("GET", "/things/1"))
    assert not service.prompt(Request("GET", "/nothing"))


def test_every_error_class_of_the_api_has_a_status() -> None:
    assert all(400 <= kind.status < 600 for kind in ApiError.__subclasses__())
