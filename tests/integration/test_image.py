"""The project's Dockerfile, built on a base that needs no registry, run as the Server's install command runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.agents import Client
from bench.container import AgentContainer, agent_in_container
from tests.engines.daemon import Daemon, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def container(agent_pyz: Path, daemon: Daemon, unique: str) -> Iterator[AgentContainer]:
    # What is not given is the image's: its own interval would make the test wait for half a minute.
    often = {"Interval": 10**9}
    with agent_in_container(agent_pyz, f"{unique}-agent", daemon, Healthcheck=often) as running:
        yield running


def test_it_answers_is_healthy_and_stops_at_once_when_told(container: AgentContainer, daemon: Daemon) -> None:
    inspected = daemon.inspect(container.container_id)
    assert inspected["Config"]["Labels"]["dockpal.agent"] == "true"
    assert inspected["Config"]["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert inspected["Config"]["Entrypoint"][0] == "python3"
    assert inspected["Mounts"] and all(mount["Type"] == "bind" for mount in inspected["Mounts"])

    client = Client(container.port)
    status, body = client.call("GET", "/agent/docker/containers")
    assert status == 200
    assert container.container_id[:12] in [entry["id"] for entry in json.loads(body)]

    probe = ["python3", "-I", "-S", "-OO", "/agent.pyz", "healthcheck"]
    assert inspected["Config"]["Healthcheck"]["Test"] == ["CMD", *probe]
    image = daemon.call("GET", f"/images/{inspected['Image']}/json")
    assert image["Config"]["Healthcheck"]["Interval"] == 30 * 10**9
    daemon.exec(container.container_id, *probe)
    wait_for(lambda: _health(daemon, container) == "healthy", "Docker to find it healthy", within=60)

    daemon.call("POST", f"/containers/{container.container_id}/stop", {"t": 10})
    assert daemon.inspect(container.container_id)["State"]["ExitCode"] == 0


def _health(daemon: Daemon, container: AgentContainer) -> str:
    return str(daemon.inspect(container.container_id)["State"]["Health"]["Status"])
