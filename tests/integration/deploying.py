"""An agent in a process of its own, as the Server deploys with it: calls over HTTP, events over WebSocket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import free_port

__all__ = ["Agent", "Event", "file_of", "ids", "running_agent"]

TOKEN = {"Authorization": "Bearer deploy-test-token"}
Event = dict[str, Any]


class Agent:
    """A running agent over a data directory; `kill` and a second one over the same directory are its restart."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, data: Path) -> None:
        self.process = process
        self.data = data
        self._address = f"127.0.0.1:{port}"

    def post(self, path: str, body: Any, timeout: float = 90.0) -> requests.Response:
        url = f"http://{self._address}/agent/docker{path}"
        return requests.post(url, headers=TOKEN, json=body, timeout=timeout)

    def call(self, method: str, path: str, body: Any = None, timeout: float = 90.0, **more: Any) -> requests.Response:
        """Any call below /agent/docker; `more` is for requests."""
        url = f"http://{self._address}/agent/docker{path}"
        return requests.request(method, url, headers=TOKEN, json=body, timeout=timeout, **more)

    def answers(self) -> bool:
        try:
            return requests.get(f"http://{self._address}/agent/ping", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def deploy(self, name: str, compose: str, **more: Any) -> requests.Response:
        """The plain deploy, as the Server sends it."""
        return self.post("/deploy/compose", {"name": name, "compose": compose, **more})

    def start(self, name: str, compose: str, **more: Any) -> str:
        """The streamed deploy; its id."""
        answer = self.post("/deploy/stream", {"name": name, "compose": compose, **more})
        assert answer.status_code == 200, answer.text
        deploy_id: str = answer.json()["deploy_id"]
        return deploy_id

    def connect(self, deploy_id: str) -> ClientConnection:
        """The Server's WebSocket: a bearer token, no Origin, no compression."""
        url = f"ws://{self._address}/agent/docker/deploy/stream/{deploy_id}"
        return connect(url, additional_headers=TOKEN, compression=None, origin=None, max_size=32768)

    def events(self, deploy_id: str, within: float = 90.0) -> list[Event]:
        """All events of a deploy over a WebSocket, to its proper close."""
        found: list[Event] = []
        with self.connect(deploy_id) as socket:
            with contextlib.suppress(ConnectionClosed):  # a replay may be over by now
                socket.send(json.dumps({"token": "as the Server sends it once more"}))
            try:
                while True:
                    message = socket.recv(timeout=within)
                    assert isinstance(message, str)
                    found.append(json.loads(message))
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1000  # noqa: PT017  the loop has no other end
        return found

    def memory(self) -> int:
        """What it has now, bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(dict(line.split(":", 1) for line in status.splitlines())["VmRSS"].split()[0]) << 10

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)


@contextlib.contextmanager
def running_agent(data: Path, docker_socket: str, path: Optional[str] = None) -> Iterator[Agent]:
    """An agent over `data`, ended at the end, if it still runs."""
    port = free_port()
    environment = {
        "PATH": path or os.environ["PATH"],
        "DOCKPAL_MODE": "direct",
        "DOCKPAL_TOKEN": "deploy-test-token",
        "DOCKPAL_DIRECT_LISTEN": f"127.0.0.1:{port}",
        "DOCKPAL_DIRECT_TLS": "false",
        "DOCKPAL_DATA_DIR": str(data),
        "DOCKPAL_DOCKER_SOCKET": docker_socket,
    }
    process = subprocess.Popen([sys.executable, "-m", "dockpal_agent"], env=environment)
    agent = Agent(process, port, data)
    try:
        wait_for(agent.answers, "the agent to answer")
        yield agent
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def file_of(image: str, **services: str) -> str:
    """A Compose file: a service for each keyword, whose value is YAML lines of further attributes."""
    text = "# as the user wrote it\nservices:\n"
    for name, more in services.items():
        text += f"  {name}:\n    image: {image}\n    command: [sh, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]\n"
        text += "".join(f"    {line}\n" for line in more.splitlines())
    return text


def ids(daemon: Daemon, project: str) -> dict[str, tuple[str, str]]:
    """(id, state) of all containers of a project, by name."""
    found = daemon.containers(label=[f"com.docker.compose.project={project}"])
    return {entry["Names"][0].lstrip("/"): (entry["Id"], entry["State"]) for entry in found}
