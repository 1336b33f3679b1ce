"""The Server's calls for apps over the line, in both forms of path, against a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dockpal_agent.compose.labels import PROJECT, SERVICE
from tests.engines.daemon import Daemon, wait_for
from tests.integration.test_edge_calls import TOKEN, good, line_to
from tests.server_standin.server import Line, StandIn
from tests.server_standin.shapes import APP_RECORD, APP_SUMMARY

pytestmark = pytest.mark.parametrize("prefix", ["", "/agent"])


@pytest.fixture(scope="module")
def line(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with StandIn(TOKEN) as server:
        with line_to(server, docker_socket, tmp_path_factory.mktemp("agent")):
            yield server.line()
        assert server.violations == [] and server.lines[0].surplus == []


@pytest.fixture
def app(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """An app of one service, whose image was built here."""
    daemon.run(busybox, "sleep", "1000", name=unique, labels={**labels, PROJECT: unique, SERVICE: "web"})
    return unique


def listed(line: Line, prefix: str, name: str) -> dict[str, Any]:
    apps = good(line.call("GET", f"{prefix}/docker/apps"), [APP_SUMMARY])
    (found,) = [each for each in apps if each["name"] == name]
    return dict(found)


def test_the_list_and_the_switch(line: Line, prefix: str, app: str, busybox: str) -> None:
    assert not listed(line, prefix, app)["auto_update"]

    assert good(line.call("PATCH", f"{prefix}/docker/apps/{app}/auto-update", body={"enabled": True})) == {"ok": True}
    assert listed(line, prefix, app)["auto_update"]

    assert good(line.call("PATCH", f"{prefix}/docker/apps/{app}/auto-update", body={"enabled": False})) == {"ok": True}
    assert not listed(line, prefix, app)["auto_update"]


def test_a_trigger_and_what_became_of_it(line: Line, prefix: str, app: str, daemon: Daemon) -> None:
    assert good(line.call("GET", f"{prefix}/docker/apps/{app}/updates", {"limit": "5"})) == []

    triggered = line.call("POST", f"{prefix}/docker/apps/{app}/update", body={"app": app})
    assert triggered.status == 202
    path = f"{prefix}/docker/apps/updates/{triggered.body['attempt_id']}"
    wait_for(lambda: "completed_at" in line.call("GET", path).body, "its end")

    record = good(line.call("GET", path), APP_RECORD)
    assert (record["app"], record["stage"]) == (app, "completed")
    assert good(line.call("GET", f"{prefix}/docker/apps/{app}/updates", {"limit": "5"}), [APP_RECORD]) == [record]


def test_what_there_is_not(line: Line, prefix: str, unique: str) -> None:
    missing = line.call("GET", f"{prefix}/docker/apps/updates/1-{unique}")
    assert (missing.status, missing.body) == (404, {"error": "attempt not found"})
    for method, what in (("PATCH", "auto-update"), ("POST", "update")):
        reply = line.call(method, f"{prefix}/docker/apps/{unique}/{what}")
        assert (reply.status, reply.body) == (404, {"error": "app not found"})
    assert good(line.call("GET", f"{prefix}/docker/apps/{unique}/updates")) == []
