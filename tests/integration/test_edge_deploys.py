"""Deploys over the line, against a real engine: whole, followed event by event, and across a line that is cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.daemon import Daemon, wait_for
from tests.integration.test_edge_calls import TOKEN, good, line_to, state
from tests.server_standin.server import Line, StandIn

pytestmark = pytest.mark.parametrize("prefix", ["", "/agent"])


@pytest.fixture(scope="module")
def line(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with StandIn(TOKEN) as server:
        with line_to(server, docker_socket, tmp_path_factory.mktemp("agent")):
            yield server.line()
        assert server.violations == [] and len(server.lines) == 1 and server.lines[0].surplus == []


def compose_of(image: str, unique: str, *, script: str = "sleep 1000") -> dict[str, Any]:
    """A Deploy of one service, as the Server sends it over the line."""
    yaml = f"""
services:
  web:
    image: {image}
    command: ["sh", "-c", "trap 'exit 0' TERM; {script} & wait"]
    restart: unless-stopped
"""
    return {"name": unique, "compose_yaml": yaml, "force_pull": False, "registry_auths": None}


def test_a_deploy_a_stop_and_a_removal_of_a_project(
    line: Line, prefix: str, daemon: Daemon, busybox: str, unique: str
) -> None:
    wanted = compose_of(busybox, unique)
    assert good(line.call("POST", f"{prefix}/docker/deploy/compose", body=wanted, within=60))["status"] == "deployed"
    assert state(daemon, f"{unique}-web-1")["Running"]
    before = daemon.inspect(f"{unique}-web-1")["Id"]
    good(line.call("POST", f"{prefix}/docker/deploy/compose", body=wanted, within=60))
    assert daemon.inspect(f"{unique}-web-1")["Id"] == before

    stopped = good(line.call("POST", f"{prefix}/docker/compose/stop", body={"name": unique}, within=60))
    assert stopped["status"] == "stopped" and not state(daemon, f"{unique}-web-1")["Running"]
    removed = good(
        line.call("POST", f"{prefix}/compose/remove", body={"name": unique}, within=60)
    )  # the original's form
    assert removed["status"] == "removed" and not daemon.exists(f"{unique}-web-1")


def test_a_followed_deploy_is_told_in_plain_text_and_ends_as_success(
    line: Line, prefix: str, daemon: Daemon, busybox: str, unique: str
) -> None:
    started = good(line.call("POST", f"{prefix}/docker/deploy/stream", body=compose_of(busybox, unique)))

    *events, end = line.follow(started["deploy_id"], within=60)

    assert [event.chunk for event in events] == list(range(1, len(events) + 1))
    texts = [event.data for event in events if event.data]
    assert texts and not any(text.startswith("{") for text in texts)
    assert (end.stream, end.status) == (False, 200)
    assert state(daemon, f"{unique}-web-1")["Running"]


def test_a_followed_deploy_that_fails_says_dockers_words_and_ends_as_failed(
    line: Line, prefix: str, daemon: Daemon, unique: str
) -> None:
    wanted = compose_of(f"127.0.0.1:1/{unique}/missing:1", unique)
    started = good(line.call("POST", f"{prefix}/docker/deploy/stream", body=wanted))

    *events, end = line.follow(started["deploy_id"], within=60)

    assert end.status >= 400 and not end.stream
    assert any(event.data.startswith("error: ") and f"{unique}/missing" in event.data for event in events if event.data)
    assert not daemon.exists(f"{unique}-web-1")


def test_an_unknown_deploy_ends_its_stream(line: Line, prefix: str) -> None:
    reply = line.call("GET", f"{prefix}/docker/deploy/stream/deploy-0000000000000000", {"stream": "true"})
    assert (reply.stream, reply.status) == (False, 404)


def test_a_deploy_that_runs_when_the_line_is_cut_goes_on_and_its_retry_joins_it(
    prefix: str, docker_socket: str, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    wanted = compose_of(busybox, unique)
    with StandIn(TOKEN) as server, line_to(server, docker_socket, tmp_path):
        first = server.line()
        first.call("GET", f"{prefix}/ping")
        lost = first.ask("POST", f"{prefix}/docker/deploy/compose", body=wanted)
        wait_for(lambda: daemon.exists(f"{unique}-web-1"), "the deploy has made its container")
        first.cut()

        retry = server.line(2).call("POST", f"{prefix}/docker/deploy/compose", body=wanted, within=60)

        assert good(retry)["status"] == "deployed" and not first.answered(lost)
        assert state(daemon, f"{unique}-web-1")["Running"]
        assert [name for name in daemon.running() if name.startswith(unique)] == [f"{unique}-web-1"]
