"""A look at an engine that shares no code with what is tested: the Engine API over http.client.

daemon = Daemon("/var/run/docker.sock")
web = daemon.run("dockpal-test/busybox:latest", "sleep", "1000", name="app-web")
daemon.inspect(web)["State"]["Running"]
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar, Union
from urllib.parse import quote, urlencode

__all__ = ["Answer", "Daemon", "Parameters", "Refused", "wait_for"]

T = TypeVar("T")
Parameters = Union[Mapping[str, Union[str, int]], list[tuple[str, str]], None]  # a list where a name is repeated


class Refused(Exception):
    """The engine answered with an error status; the text is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An engine's whole answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body.strip() else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Daemon:
    """One engine by its socket; every call is a connection of its own. `version` is put into each path."""

    socket: str
    version: str = "1.41"

    @classmethod
    def at(cls, socket: str) -> Daemon:
        """The engine at this socket, spoken to in 1.41 where it still takes that, else in its least version."""
        least = cls(socket, "").call("GET", "/version")["MinAPIVersion"]
        return cls(socket, max("1.41", least, key=lambda version: [int(part) for part in version.split(".")]))

    def answer(
        self,
        method: str,
        path: str,
        query: Parameters = None,
        body: Union[Mapping[str, Any], bytes, None] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 60.0,
    ) -> Answer:
        """One call, whatever status comes back. A mapping goes as JSON, bytes as a tar archive."""
        target = (f"/v{self.version}" if self.version else "") + path + (f"?{urlencode(query)}" if query else "")
        fields = {"Content-Type": "application/x-tar" if isinstance(body, bytes) else "application/json"}
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        connection = _UnixConnection(self.socket, timeout)
        try:
            connection.request(method, target, data, {**fields, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, query: Parameters = None, **rest: Any) -> Any:
        """The decoded JSON of a call that must succeed. Raises Refused; takes what `answer` takes."""
        answer = self.answer(method, path, query, **rest)
        if answer.status >= 400:
            raise Refused(answer.status, answer.body.decode("utf-8", "replace"))
        try:
            return answer.json
        except ValueError:
            return answer.body  # a progress stream: several JSON values, or text

    def answers(self) -> bool:
        """Whether a daemon answers at the socket."""
        try:
            return Daemon(self.socket, "").answer("GET", "/version", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def create(
        self, image: str, *command: str, name: str, labels: Optional[Mapping[str, str]] = None, **config: Any
    ) -> str:
        """Create a container and return its id; `config` holds further fields of ContainerCreate (HostConfig, …)."""
        body = {"Image": image, "Cmd": list(command) or None, "Labels": dict(labels or {}), **config}
        body = {key: value for key, value in body.items() if value is not None}
        return str(self.call("POST", "/containers/create", {"name": name}, body=body)["Id"])

    def run(
        self, image: str, *command: str, name: str, labels: Optional[Mapping[str, str]] = None, **config: Any
    ) -> str:
        """Create and start a container; its id."""
        container_id = self.create(image, *command, name=name, labels=labels, **config)
        self.call("POST", f"/containers/{container_id}/start")
        return container_id

    def inspect(self, container: str) -> Any:
        """GET /containers/{id}/json."""
        return self.call("GET", f"/containers/{quote(container, safe='')}/json")

    def exists(self, container: str) -> bool:
        """Whether there is a container of this id or name."""
        return self.answer("GET", f"/containers/{quote(container, safe='')}/json").status == 200

    def containers(self, **filters: list[str]) -> list[Any]:
        """All containers, stopped ones too, that fit Docker's filters (`label=["a=b"]`)."""
        return list(self.call("GET", "/containers/json", {"all": 1, "filters": json.dumps(filters)}))

    def running(self, **filters: list[str]) -> dict[str, str]:
        """{name: state} of all containers that fit the filters; one that is being removed has no name any more."""
        return {entry["Names"][0].lstrip("/"): entry["State"] for entry in self.containers(**filters) if entry["Names"]}

    def exec(self, container: str, *command: str) -> bytes:
        """Run a command in a container; what it wrote, both streams, frames removed."""
        spec = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        exec_id = self.call("POST", f"/containers/{container}/exec", body=spec)["Id"]
        raw = self.answer("POST", f"/exec/{exec_id}/start", body={"Detach": False, "Tty": False}).body
        out = b""
        while len(raw) >= 8:
            size = int.from_bytes(raw[4:8], "big")
            out, raw = out + raw[8 : 8 + size], raw[8 + size :]
        return out

    def remove(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volumes; nothing when it is gone already."""
        answer = self.answer("DELETE", f"/containers/{quote(container, safe='')}", {"force": 1, "v": 1})
        if answer.status not in (204, 404, 409):  # 409: its removal is in progress
            raise Refused(answer.status, answer.body.decode("utf-8", "replace"))

    def clean(self, prefix: str, label: str) -> None:
        """Remove containers, networks and volumes named `prefix…`, or that bear `label` (`key=value`).

        Anonymous volumes go too, which Docker keeps where a container took them over from the one that it replaced.
        """
        anonymous: set[str] = set()
        for entry in self.containers():
            if _ours(entry["Names"][0].lstrip("/") if entry["Names"] else "", entry.get("Labels"), prefix, label):
                anonymous.update(mount["Name"] for mount in entry["Mounts"] if len(mount.get("Name") or "") == 64)
                self.remove(entry["Id"])
        for name in anonymous:
            self.answer("DELETE", f"/volumes/{name}")
        for network in self.call("GET", "/networks"):
            if _ours(network["Name"], network.get("Labels"), prefix, label):
                self.answer("DELETE", f"/networks/{network['Id']}")
        for volume in self.call("GET", "/volumes")["Volumes"] or []:
            if _ours(volume["Name"], volume.get("Labels"), prefix, label):
                self.answer("DELETE", f"/volumes/{quote(volume['Name'], safe='')}", {"force": 1})


def _ours(name: str, labels: Optional[Mapping[str, str]], prefix: str, label: str) -> bool:
    key, _, value = label.partition("=")
    return name.startswith(prefix) or (labels or {}).get(key) == value


def wait_for(look: Callable[[], T], what: str, within: float = 20.0) -> T:
    """The first true value that `look` gives; fails the test with `what` when none came within `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s for: {what}; last seen: {value!r}")
        time.sleep(0.02)
