"""The agent in a container of its own image, as it is deployed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Optional

from bench.agents import TOKEN, Client
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import free_port
from tools.base_image import ensure_base

__all__ = ["AgentContainer", "agent_in_container", "build_image"]

ROOT: Final = Path(__file__).resolve().parent.parent
SETTLE: Final = 35.0  # seconds without a call before memory is looked at; the agent gives back every 30


@dataclass(frozen=True)
class AgentContainer:
    """An agent in a container; its API answers on `port` of loopback."""

    daemon: Daemon
    container_id: str
    port: int

    def memory_when_idle(self) -> int:
        """Bytes as `docker stats` counts them: the cgroup's usage less inactive file cache."""
        time.sleep(SETTLE)
        stats = self.daemon.call("GET", f"/containers/{self.container_id}/stats", {"stream": "false"})
        memory = stats["memory_stats"]
        cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        return int(memory["usage"]) - int(cache)


def build_image(pyz: Path, reference: str) -> None:
    """Build the project's Dockerfile on a base that needs no registry. Raises CalledProcessError, `stderr` says why."""
    with tempfile.TemporaryDirectory(prefix="dockpal-image-") as folder:
        context = Path(folder)
        (context / "dist").mkdir()
        shutil.copy(ROOT / "Dockerfile", context)
        shutil.copy(pyz, context / "dist" / "agent.pyz")
        command = ["docker", "build", "-q", "--build-arg", f"BASE={ensure_base()}", "--build-arg", "VERSION=test"]
        subprocess.run(
            [*command, "-t", reference, str(context)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )


@contextlib.contextmanager
def agent_in_container(
    pyz: Path, name: str, daemon: Daemon, *, data: Optional[Path] = None, **options: Any
) -> Iterator[AgentContainer]:
    """Build the image and run it in direct mode on the engine's own socket; container and image go at the end.

    `data` is mounted under its own path, as the data directory. `options` are further fields of ContainerCreate; those
    of HostConfig are added to ours.
    """
    reference = f"dockpal-test/agent:{name}"
    build_image(pyz, reference)
    port = free_port()
    environment = ["DOCKPAL_MODE=direct", f"DOCKPAL_TOKEN={TOKEN}"]
    binds = [f"{daemon.socket}:/var/run/docker.sock"]
    if data is not None:
        environment.append(f"DOCKPAL_DATA_DIR={data}")
        binds.append(f"{data}:{data}")
    ports = {"9273/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    config: dict[str, Any] = {"Env": environment, "ExposedPorts": {"9273/tcp": {}}, **options}
    config["HostConfig"] = {"Binds": binds, "PortBindings": ports, **options.get("HostConfig", {})}
    container_id = ""
    try:
        container_id = daemon.run(reference, name=name, **config)
        wait_for(lambda: _answers(port), "the agent in the container to answer", 30)
        yield AgentContainer(daemon, container_id, port)
    finally:
        if container_id:
            daemon.remove(container_id)
        daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


def _answers(port: int) -> bool:
    try:
        return Client.once(port, "/agent/ping")[0] == 200
    except OSError:
        return False
