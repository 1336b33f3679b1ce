"""Hostile deploys to a running agent: each is a clear 4xx at once, and the agent is as large as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.test_deploy import HOSTILE
from tests.engines.daemon import wait_for
from tests.engines.registry import free_port

TOKEN = {"Authorization": "Bearer deploy-test-token"}


@dataclass(frozen=True)
class Running:
    """An agent in a process of its own."""

    url: str
    pid: int
    data: Path

    def post(self, path: str, body: Any) -> requests.Response:
        return requests.post(f"{self.url}/agent/docker{path}", headers=TOKEN, json=body, timeout=60)

    def memory(self, what: str = "VmRSS") -> int:
        """What it has now, or (`VmHWM`) had at most; bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(dict(line.split(":", 1) for line in status.splitlines())[what].split()[0]) << 10


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, docker_socket: str) -> Iterator[Running]:
    port, data = free_port(), tmp_path_factory.mktemp("data")
    environment = {
        "PATH": os.environ["PATH"],
        "DOCKPAL_MODE": "direct",
        "DOCKPAL_TOKEN": "deploy-test-token",
        "DOCKPAL_DIRECT_LISTEN": f"127.0.0.1:{port}",
        "DOCKPAL_DIRECT_TLS": "false",
        "DOCKPAL_DATA_DIR": str(data),
        "DOCKPAL_DOCKER_SOCKET": docker_socket,
    }
    process = subprocess.Popen([sys.executable, "-m", "dockpal_agent"], env=environment)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/agent/ping", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_for(answers, "the agent to answer")
        yield Running(url, process.pid, data)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def warm(agent: Running) -> Running:
    """An agent that has refused a file of the largest size already, so that all it needs for that is loaded."""
    full = "services: {web: {image: x, depends_on: [no]}}\n" + "# comment\n" * 40_000
    assert agent.post("/deploy/compose", {"name": "warm", "compose": full}).status_code == 400
    return agent


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_file_is_refused_and_the_agent_is_as_large_as_before(warm: Running, case: str) -> None:
    compose, expected = HOSTILE[case]
    before = warm.memory()
    for _ in range(3):
        try:
            answer = warm.post("/deploy/compose", {"name": "app", "compose": compose})
        except requests.ConnectionError:  # it hung up while we were still sending 10 MB, as it may
            assert case == "10 MB"
            continue
        assert answer.status_code in expected and answer.json()["error"]
        assert json.dumps(answer.json()).isprintable()
    assert warm.memory() - before < 3 << 20, f"{(warm.memory() - before) >> 10} KiB more"
    assert not (warm.data / "compose" / "app").exists()


def test_the_agent_answers_while_hostile_files_are_read(warm: Running) -> None:
    compose, _ = HOSTILE["10,000 services"]
    started = warm.post("/deploy/stream", {"name": "app", "compose": compose}).json()["deploy_id"]
    assert requests.get(f"{warm.url}/agent/ping", timeout=5).status_code == 200
    answer = requests.get(
        f"{warm.url}/agent/docker/deploy/stream/{started}",
        headers={**TOKEN, "Accept": "text/event-stream"},
        timeout=60,
    )
    last = [line for line in answer.text.splitlines() if line.startswith("data:")][-1]
    assert json.loads(last[5:])["status"] == "error"
