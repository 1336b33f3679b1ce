"""Running projects change hands, between docker compose and the agent, and nothing restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.compose.apply import Outcome, converge
from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.engine import Engine
from tests.compose.doubles import house
from tests.engines.daemon import Daemon
from tests.integration.stacks import Stack
from tests.integration.test_compose_gate import BOUND, Killed, KilledStore

MANY = """
services:
  db:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [data:/data, /anonymous]
    healthcheck: {{test: [CMD, "true"], interval: 1s}}
    networks: {{back: {{aliases: [database]}}}}
  web:
    image: {image}
    command: ["sh", "-c", "exec sleep 1000"]
    stop_signal: SIGKILL
    environment: {{B: "$$x", A: 1, EMPTY: ""}}
    depends_on: {{db: {{condition: service_healthy}}}}
    ports: ["80", "127.0.0.1::81/udp"]
    networks: [back, default]
    configs: [{{source: note, target: /etc/note, mode: 0440}}]
    tmpfs: /scratch
    labels: {{com.example.role: web}}
    cap_add: [NET_ADMIN]
    ulimits: {{nofile: 1024}}
    mem_limit: 64m
    restart: unless-stopped
    scale: 2
  side:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: service:db
    volumes_from: [db]
    links: []
networks: {{back: {{internal: true}}}}
volumes: {{data: }}
configs: {{note: {{content: "hello"}}}}
"""


@pytest.fixture
def stack(daemon: Daemon, engine: Engine, docker_compose: Path, busybox: str, unique: str, tmp_path: Path) -> Stack:
    made = Stack(tmp_path / "project", unique, daemon, engine, docker_compose)
    made.write(MANY.format(image=busybox))
    return made


@pytest.mark.engines
def test_ours_over_a_running_project_of_docker_compose_plans_nothing_and_restarts_nothing(stack: Stack) -> None:
    stack.theirs("up", "-d")
    before = stack.rows()

    assert not stack.plan().changes
    stack.ours()

    assert len(before) == 4
    assert stack.rows() == before


@pytest.mark.engines
def test_docker_compose_over_a_running_project_of_ours_restarts_nothing(stack: Stack) -> None:
    stack.ours()
    before = stack.rows()

    said = stack.theirs("up", "-d").stderr

    assert stack.rows() == before
    assert "Recreate" not in said
    assert set(stack.theirs("ps", "-q").stdout.split()) == {container_id for container_id, _ in before.values()}


def test_a_running_project_whose_hashes_another_version_of_docker_compose_made_is_not_touched(
    stack: Stack, daemon: Daemon
) -> None:
    stack.theirs("up", "-d")
    made_by_another_version(stack, daemon)
    before = stack.rows()

    stack.ours()

    assert stack.rows() == before
    stack.write(stack.path.read_text().replace("A: 1", "A: 2"))
    assert [action.container for action in stack.plan().of("service", "recreate")] == [
        f"{stack.project}-web-1",
        f"{stack.project}-web-2",
    ]


def test_killed_before_its_files_stand_a_deploy_that_takes_over_such_a_project_is_finished(
    stack: Stack, daemon: Daemon, engine: Engine, tmp_path: Path
) -> None:
    stack.theirs("up", "-d")
    made_by_another_version(stack, daemon)
    before = stack.rows()
    text = stack.path.read_text()
    stored = tmp_path / "first" / "compose"

    def killed(*arguments: Any) -> Outcome:
        converge(*arguments)
        raise Killed

    with (
        house(engine, tmp_path / "first", killed, stored=KilledStore(stored)) as first,
        pytest.raises(Killed),
    ):
        first.start(DeployRequest(stack.project, text)).wait(BOUND)
    with house(engine, tmp_path / "first", converge) as second:
        assert second.stored.pending(stack.project) is not None
        second.settle()
        standing = second.stored.load(stack.project)
        assert standing is not None and standing.compose == text
        assert second.stored.pending(stack.project) is None
    assert {name: row for name, row in stack.rows().items() if "web" in name} == {
        name: row for name, row in before.items() if "web" in name
    }


def made_by_another_version(stack: Stack, daemon: Daemon) -> None:
    """The same containers with other hashes and another version: labels cannot be changed, so they are made again."""
    for name in stack.rows():
        found = daemon.inspect(name)
        labels = {**found["Config"]["Labels"], "com.docker.compose.version": "2.20.0"}
        labels["com.docker.compose.config-hash"] = "0" * 64
        if "web" not in name:
            continue
        endpoints = found["NetworkSettings"]["Networks"]
        main = found["HostConfig"]["NetworkMode"]
        daemon.remove(name)
        hostname = {"Hostname": ""}
        body = {**found["Config"], **hostname, "Labels": labels, "HostConfig": found["HostConfig"]}
        body["NetworkingConfig"] = {"EndpointsConfig": {main: {"Aliases": endpoints[main]["Aliases"]}}}
        container_id = daemon.call("POST", "/containers/create", {"name": name}, body=body)["Id"]
        for network, endpoint in endpoints.items():
            if network != main:
                spec = {"Container": container_id, "EndpointConfig": {"Aliases": endpoint["Aliases"]}}
                daemon.call("POST", f"/networks/{network}/connect", body=spec)
        daemon.call("POST", f"/containers/{container_id}/start")
