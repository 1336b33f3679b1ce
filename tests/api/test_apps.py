"""The calls for apps, with parts of the test's own behind them; what the Server looks for in answers is held here."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional, cast

import pytest

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.apps import ROUTES
from dockpal_agent.api.auth import Guard
from dockpal_agent.api.messages import Body, End, Json, Messages, Query, Request
from dockpal_agent.api.router import Router
from dockpal_agent.api.service import Service
from dockpal_agent.apps.choices import ChoicesFailed
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.listing import NoSuchApp
from dockpal_agent.apps.records import Records, RecordsFailed
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.apps.updates import AlreadyRunning, TooManyUpdates
from dockpal_agent.compose.lanes import Stopping
from dockpal_agent.engine import EngineUnavailable
from tests.server_standin.shapes import APP_RECORD, problems


class Parts:
    """Answers as told; an exception is raised."""

    def __init__(self, directory: Path) -> None:
        self.app_records = Records(directory / "updates.jsonl")
        self.update_feed = UpdateFeed(most_viewers=1)
        self.answer: Any = None
        self.asked: list[tuple[Any, ...]] = []

    def ask(self, *question: Any) -> Any:
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.fixture
def service(parts: Parts) -> Service[Agent]:
    agent = SimpleNamespace(
        apps=SimpleNamespace(list=lambda: parts.ask("list")),
        switch=SimpleNamespace(set=lambda name, enabled: parts.ask("set", name, enabled)),
        updates=SimpleNamespace(trigger=lambda name: parts.ask("trigger", name)),
        app_records=parts.app_records,
        update_feed=parts.update_feed,
    )
    return Service(Router(ROUTES), Guard(("t",)), cast(Agent, agent))


def call(
    service: Service[Agent], method: str, path: str, body: Any = None, query: Optional[dict[str, str]] = None
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer = service.answer(Request(method, path, Query(query), {}, Body.of(data)), trusted=True)
    assert isinstance(answer, Json)
    return answer.status, json.loads(answer.encode())


def test_the_list_is_passed_on(service: Service[Agent], parts: Parts) -> None:
    parts.answer = []
    assert call(service, "GET", "/agent/docker/apps") == (200, [])


def test_without_docker_the_list_is_never_a_404(service: Service[Agent], parts: Parts) -> None:
    """The Server would show an empty list."""
    parts.answer = EngineUnavailable("the Docker daemon does not answer")
    assert call(service, "GET", "/docker/apps") == (503, {"error": "the Docker daemon does not answer"})


@pytest.mark.parametrize(
    ("body", "enabled"),
    [({"enabled": True}, True), ({"enabled": False}, False), ({}, False), (None, False), ({"enabled": None}, False)],
)
def test_a_switch_is_set(service: Service[Agent], parts: Parts, body: Any, enabled: bool) -> None:
    parts.answer = ""
    assert call(service, "PATCH", "/agent/docker/apps/My%20shop/auto-update", body) == (200, {"ok": True})
    assert parts.asked == [("set", "My shop", enabled)]


def test_what_the_file_does_not_say_yet_is_noted_beside(service: Service[Agent], parts: Parts) -> None:
    parts.answer = "later"
    assert call(service, "PATCH", "/docker/apps/a/auto-update", {}) == (200, {"ok": True, "note": "later"})


@pytest.mark.parametrize("body", [{"enabled": "true"}, {"enabled": 1}, ["enabled"], b"{", b"\xff"])
def test_a_malformed_switch_is_a_400(service: Service[Agent], parts: Parts, body: Any) -> None:
    assert call(service, "PATCH", "/docker/apps/a/auto-update", body)[0] == 400
    assert parts.asked == []


@pytest.mark.parametrize("body", [None, {"app": "other"}])
def test_a_trigger_answers_202_with_the_attempt_of_the_app_in_the_path(
    service: Service[Agent], parts: Parts, body: Any
) -> None:
    parts.answer = "1-shop"
    assert call(service, "POST", "/agent/docker/apps/shop/update", body) == (202, {"attempt_id": "1-shop"})
    assert parts.asked == [("trigger", "shop")]


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/docker/apps/x/auto-update"), ("POST", "/docker/apps/x/update")]
)
def test_an_unknown_app_is_a_404_that_is_not_taken_for_an_old_agent(
    service: Service[Agent], parts: Parts, method: str, path: str
) -> None:
    parts.answer = NoSuchApp("x")
    assert call(service, method, path) == (404, {"error": "app not found"})


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (AlreadyRunning("update_already_running: an update of shop is under way"), 409),
        (TooManyUpdates("8 updates are under way"), 503),
        (Stopping("the agent is ending"), 503),
        (RecordsFailed("the record cannot be written: No space left on device"), 507),
        (ChoicesFailed("the choice cannot be kept: No space left on device"), 507),
    ],
)
def test_what_can_go_wrong_has_a_status_and_its_words(
    service: Service[Agent], parts: Parts, failure: Exception, status: int
) -> None:
    parts.answer = failure
    assert call(service, "POST", "/docker/apps/shop/update") == (status, {"error": str(failure)})


def test_the_history_of_an_unknown_app_is_an_empty_list(service: Service[Agent]) -> None:
    assert call(service, "GET", "/docker/apps/no-such-app/updates") == (200, [])


def test_the_history_is_newest_first_in_the_servers_shape(service: Service[Agent], parts: Parts) -> None:
    services = {"web": {"image": "app:1", "previous_digest": "sha256:a"}}
    old = parts.app_records.begin("shop", "auto", services)
    parts.app_records.move(old.attempt_id, Stage.FAILED, "denied", ErrorCode.AUTH_MISSING)
    new = parts.app_records.begin("shop", "user:agent", services)

    status, records = call(service, "GET", "/agent/docker/apps/shop/updates")

    assert status == 200 and problems([APP_RECORD], records) == []
    assert [record["attempt_id"] for record in records] == [new.attempt_id, old.attempt_id]
    assert [event["stage"] for event in records[1]["events"]] == ["pulling", "failed"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1", 1), ("60", 60), ("1000", 60), ("1001", 50), ("0", 50), ("-1", 50), ("x", 50), ("", 50), ("9" * 40, 50)],
)
def test_a_limit_out_of_bounds_is_50(service: Service[Agent], parts: Parts, limit: str, expected: int) -> None:
    for _ in range(60):
        attempt = parts.app_records.begin("shop", "auto", {})
        parts.app_records.move(attempt.attempt_id, Stage.COMPLETED)

    assert len(call(service, "GET", "/docker/apps/shop/updates", query={"limit": limit})[1]) == expected


def test_an_attempt_is_found_by_its_id(service: Service[Agent], parts: Parts) -> None:
    attempt = parts.app_records.begin("shop", "auto", {})

    status, record = call(service, "GET", f"/agent/docker/apps/updates/{attempt.attempt_id}")

    assert (status, record["stage"]) == (200, "pulling") and problems(APP_RECORD, record) == []


def test_an_unknown_attempt_is_a_404(service: Service[Agent]) -> None:
    assert call(service, "GET", "/docker/apps/updates/1-none") == (404, {"error": "attempt not found"})


def test_an_app_may_be_called_updates(service: Service[Agent], parts: Parts) -> None:
    parts.app_records.begin("updates", "auto", {})
    assert len(call(service, "GET", "/docker/apps/updates/updates")[1]) == 1


def test_the_stream_begins_with_what_runs_and_ends_with_the_agent(service: Service[Agent], parts: Parts) -> None:
    parts.update_feed.tell(parts.app_records.begin("shop", "auto", {}))
    answer = service.answer(Request("GET", "/agent/docker/apps/updates/stream"), trusted=True)
    assert isinstance(answer, Messages)
    stream = answer.open()
    first = stream.next(0)
    assert isinstance(first, dict) and (first["app"], first["stage"]) == ("shop", "pulling")
    assert stream.next(0) is None

    parts.update_feed.close()

    with pytest.raises(End):
        stream.next(5)


def test_one_viewer_too_many_is_refused_before_the_stream_begins_and_a_place_is_given_back(
    service: Service[Agent], parts: Parts
) -> None:
    answer = service.answer(Request("GET", "/docker/apps/updates/stream"), trusted=True)
    assert isinstance(answer, Messages)
    stream = answer.open()
    with pytest.raises(Exception, match="try again later") as caught:
        answer.open()
    assert service.failure(caught.value).status == 503

    stream.close()

    answer.open().close()
