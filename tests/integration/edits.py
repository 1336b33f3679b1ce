"""The agent without a transport, for tests of edits: its answers, and what inspect shows without ids and times."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.api.messages import Body, Json, Query, Request
from dockpal_agent.api.service import Service
from dockpal_agent.config import Config
from dockpal_agent.house import house
from tests.engines.daemon import Daemon

__all__ = ["Caller", "house", "settings", "small_config", "variant"]

# What differs between two containers with the same settings.
OF_THE_CONTAINER: Final = (
    *("Id", "Created", "State", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "ExecIDs"),
    *("RestartCount", "Storage", "ImageManifestDescriptor"),
)
OF_THE_MOMENT: Final = (
    *("SandboxID", "SandboxKey", "EndpointID", "MacAddress", "IPAddress", "GlobalIPv6Address", "DNSNames", "Ports"),
)


class Caller:
    """Requests without a transport."""

    def __init__(self, service: Service[Any]) -> None:
        self._service = service

    def call(self, method: str, path: str, body: Optional[dict[str, Any]] = None, **query: str) -> tuple[int, Any]:
        """(status, JSON) of one call; `path` is relative to /agent/docker/containers/."""
        data = b"" if body is None else json.dumps(body).encode()
        request = Request(method, f"/agent/docker/containers/{path}", Query(query), body=Body.of(data))
        answer = self._service.answer(request, trusted=True)
        assert isinstance(answer, Json)
        return answer.status, json.loads(answer.encode())

    def put(self, container: str, **body: Any) -> Any:
        """An edit that must succeed: its answer."""
        status, answer = self.call("PUT", container, body)
        assert status == 200, answer
        return answer


def small_config(folder: Path, docker_socket: str) -> Config:
    """The agent's configuration for a test."""
    return Config(mode="direct", tokens=("x" * 64,), data_dir=folder, docker_socket=docker_socket)


def variant(daemon: Daemon, image: str, reference: str, *changes: str) -> str:
    """An image like another one, with lines of a Dockerfile on top (POST /commit); its reference."""
    container = daemon.create(image, name=f"variant-{uuid.uuid4().hex[:12]}")
    try:
        repository, _, tag = reference.rpartition(":")
        query = {"container": container, "repo": repository, "tag": tag, "changes": "\n".join(changes)}
        daemon.call("POST", "/commit", query, body={})
    finally:
        daemon.remove(container)
    return reference


def settings(found: dict[str, Any]) -> dict[str, Any]:
    """An inspect without what differs between two containers that are set alike: ids, times, addresses."""
    kept = copy.deepcopy(found)
    container_id = kept["Id"]
    for key in OF_THE_CONTAINER:
        kept.pop(key, None)
    for part in (kept["NetworkSettings"], *kept["NetworkSettings"]["Networks"].values()):
        for key in OF_THE_MOMENT:
            part.pop(key, None)
    for endpoint in kept["NetworkSettings"]["Networks"].values():
        endpoint["Aliases"] = sorted(set(endpoint.get("Aliases") or ()) - {container_id[:12]})
        endpoint["IPAMConfig"] = endpoint["IPAMConfig"] or None
    if kept["Config"].get("Hostname") == container_id[:12]:
        del kept["Config"]["Hostname"]
    kept["Config"]["Env"] = sorted(kept["Config"].get("Env") or ())
    kept["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
    return kept
