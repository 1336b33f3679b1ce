"""A registry with a password on loopback; engines take it without TLS there."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.engines.daemon import Daemon, wait_for

__all__ = ["Registry", "free_port", "registry", "running_registry"]

CONFIG: Final = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {htpasswd}}}}}
"""


@dataclass(frozen=True)
class Registry:
    """A running registry: `address` is host:port, as in an image reference."""

    address: str
    user: str
    password: str
    pid: int

    @property
    def auth(self) -> str:
        """The value of X-Registry-Auth: base64url of Docker's AuthConfig."""
        login = {"username": self.user, "password": self.password, "serveraddress": self.address}
        return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()

    def push(self, daemon: Daemon, source: str, name: str) -> str:
        """Tag the local image `source` as `name` (`team/app:1`) of this registry, push it, and drop the tag.

        Returns the full reference; the digest is what a pull of it then gives.
        """
        repository, _, tag = f"{self.address}/{name}".rpartition(":")
        daemon.call("POST", f"/images/{source}/tag", {"repo": repository, "tag": tag})
        progress = daemon.answer(
            "POST", f"/images/{repository}/push", {"tag": tag}, headers={"X-Registry-Auth": self.auth}, timeout=120
        )
        if progress.status != 200 or b'"error"' in progress.body:
            raise AssertionError(f"push of {name} failed: {progress.body.decode('utf-8', 'replace')[-500:]}")
        daemon.answer("DELETE", f"/images/{repository}:{tag}")
        return f"{repository}:{tag}"

    def answers(self) -> bool:
        """Whether it takes its own password."""
        request = urllib.request.Request(f"http://{self.address}/v2/")
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status) == 200
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running_registry(folder: Path) -> Iterator[Registry]:
    """Start a registry that keeps its files in `folder`; it ends when the generator is closed."""
    port = free_port()
    htpasswd = folder / "htpasswd"
    entry = subprocess.run(["htpasswd", "-Bbn", "user", "secret"], capture_output=True, check=True, timeout=20)
    htpasswd.write_bytes(entry.stdout)
    config = folder / "config.yml"
    config.write_text(CONFIG.format(root=folder / "data", port=port, htpasswd=htpasswd))
    with open(folder / "registry.log", "wb") as log:
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log, env=environment)
    try:
        started = Registry(f"127.0.0.1:{port}", "user", "secret", process.pid)
        wait_for(started.answers, "the registry to answer")
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for a user and a password, for the whole run."""
    yield from running_registry(tmp_path_factory.mktemp("registry"))
