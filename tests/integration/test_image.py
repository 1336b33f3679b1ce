"""The project's Dockerfile, built on a base that needs no registry, run as the Server's install command runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.agents import Client
from bench.container import AgentContainer, agent_in_container
from bench.exercise import exercise
from build import ROOT
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


def test_as_the_readme_shuts_it_in_every_call_works(
    agent_pyz: Path, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    """`--read-only --cap-drop ALL --security-opt no-new-privileges; nothing more is needed`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`--read-only --cap-drop ALL --security-opt no-new-privileges`; nothing more is needed" in readme
    shut_in = {"ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}
    web = daemon.run(busybox, "sleep", "1000", name=f"{unique}-web", StopTimeout=0)
    lies_there = {
        "name": f"{unique}-files",
        "compose": f"services: {{web: {{image: {busybox}, command: [sleep, '1000'], stop_grace_period: 0s, "
        "volumes: ['./sent.txt:/sent.txt:ro', './made:/made']}}",
        "files": {"sent.txt": "as it was sent"},
    }

    with agent_in_container(agent_pyz, f"{unique}-agent", daemon, data=tmp_path, HostConfig=shut_in) as running:
        assert exercise(running.port, web, f"{unique}-app") == []
        status, body = Client(running.port).call("POST", "/agent/docker/deploy/compose", lies_there)
        assert status == 200, body
        assert daemon.exec(f"{unique}-files-web-1", "cat", "/sent.txt") == b"as it was sent"
        said = daemon.exec(running.container_id, "python3", "-I", "-S", "-OO", "/agent.pyz", "doctor").decode()
        assert said.splitlines() and all(line.startswith("ok ") for line in said.splitlines()), said
        status, body = Client(running.port).call("POST", "/agent/docker/compose/remove", {"name": f"{unique}-files"})
        assert status == 200, body


def _health(daemon: Daemon, container: AgentContainer) -> str:
    return str(daemon.inspect(container.container_id)["State"]["Health"]["Status"])
