"""Apps whose images come from a registry with a password, in versions, and what updates them; for tests of updates."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.api.agent import Agent
from dockpal_agent.apps.ending import Parts
from dockpal_agent.apps.monitor import Monitor
from dockpal_agent.apps.record import Record
from dockpal_agent.apps.schedule import Schedule
from dockpal_agent.apps.updates import Updates
from dockpal_agent.compose.deployrequest import read_deploy
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.integration.edits import house, small_config, variant

__all__ = ["GRACE", "STAYS", "Bench", "Shop", "bring_up", "compose_command", "deploy", "login_file", "working"]

GRACE: Final = 3.0  # seconds
STAYS: Final = """CMD ["sh","-c","echo $VERSION > /data/started; sleep 1000"]"""
PROJECT: Final = "com.docker.compose.project"


def login_file(folder: Path, registry: Registry) -> Path:
    """A Docker config.json with the registry's user."""
    path = folder / "config.json"
    auth = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    path.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    return path


@dataclass
class Bench:
    """What updates apps, over a data directory, and what it told. `app` is the one that the test is about."""

    agent: Agent
    updates: Updates
    parts: Parts
    app: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)

    def update(self, name: str, within: float = 90.0) -> Record:
        """Trigger by hand, and wait for the end."""
        return self.ended(self.updates.trigger(name), within)

    def ended(self, attempt_id: str, within: float = 90.0) -> Record:
        wait_for(lambda: self.parts.records.get(attempt_id).ended, f"the end of {attempt_id}", within)
        return self.parts.records.get(attempt_id)

    def round(self) -> None:
        """A round of the image monitor, and what it begins. The agent's own comes at any time, and begins nothing."""
        self.look()
        self.act()

    def look(self) -> None:
        """A round of the image monitor."""
        agent = self.agent
        Monitor(agent.engine, agent.checks, login=self.parts.logins.read, interval=0.0).round()

    def act(self, clock: str = "12:00") -> None:
        """Begin what is due, by what is known, when it is so late on the host."""
        agent = self.agent
        hour, _, minute = clock.partition(":")
        wall = time.gmtime(int(hour) * 3600 + int(minute) * 60)
        config = replace(agent.config, auto_update_enabled=True)
        known = (agent.checks, self.parts.choices, self.parts.records, agent.update_feed)
        Schedule(agent.apps, self.updates, *known, config, local=lambda moment: wall).after_round()

    def newest(self, app: str) -> Record:
        """The app's last attempt, once it has ended and nothing waits."""
        wait_for(lambda: not self.updates.running(app), f"the end of {app}", 60)
        record = self.parts.records.newest(app)
        assert record is not None
        return record

    def heard(self, record: Record) -> list[dict[str, Any]]:
        """The feed's events of an attempt, once its end was told."""

        def events() -> list[dict[str, Any]]:
            found = [event for event in list(self.told) if event["attempt_id"] == record.attempt_id]
            return found if found and found[-1]["stage"] == record.stage.value else []

        return wait_for(events, "the end in the feed")


@contextlib.contextmanager
def working(
    data: Path,
    docker_socket: str,
    *,
    login: Optional[Path] = None,
    grace: float = GRACE,
    cleanup: bool = False,
    app: str = "",
    **settings: Any,
) -> Iterator[Bench]:
    """The agent without a transport, with these values of its Config; ended at the end."""
    config = replace(
        small_config(data, docker_socket),
        registry_auth_file=login,
        auto_update_enabled=False,
        auto_update_health_grace=grace,
        auto_update_cleanup=cleanup,
        **settings,
    )
    with house(config) as service:
        agent: Agent = service.agent
        bench = Bench(agent, agent.updates, agent.updates._parts, app)
        view = agent.update_feed.open()

        def listen() -> None:
            with contextlib.suppress(EOFError):
                while True:
                    event = view.next(60)
                    if event is not None:
                        bench.told.append(event)

        listener = threading.Thread(target=listen, name="feed", daemon=True)
        listener.start()
        try:
            yield bench
        finally:
            view.close()
            listener.join(10)


class Shop:
    """An app `<unique>` with the services web (image shop, in versions under one tag) and db (built here)."""

    def __init__(
        self, daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: Mapping[str, str]
    ) -> None:
        self.daemon, self.registry, self.busybox, self.unique, self.labels = daemon, registry, busybox, unique, labels
        self.name = f"{unique}/shop:1"
        self.reference = f"{registry.address}/{self.name}"
        self.web = f"{unique}-web-1"

    def push(self, version: str, *changes: str) -> None:
        """A version of the image in the registry; what this host has under the tag stays as it is."""
        made = variant(
            *(self.daemon, self.busybox, f"dockpal-test/{self.unique}:{version}"),
            *(f"ENV VERSION={version}", *changes),
        )
        was = self.daemon.answer("GET", f"/images/{self.reference}/json")
        self.registry.push(self.daemon, made, self.name)
        if was.status == 200:
            self.daemon.call("POST", f"/images/{was.json['Id']}/tag", {"repo": self.reference[:-2], "tag": "1"})
        self.daemon.answer("DELETE", f"/images/{made}", {"noprune": 1})

    def pull(self) -> str:
        """The image on this host; its id."""
        headers = {"X-Registry-Auth": self.registry.auth}
        self.daemon.call("POST", "/images/create", {"fromImage": self.reference}, headers=headers)
        return self.means()

    def forget(self) -> None:
        """The registry has no such image any more."""
        login = base64.b64encode(f"{self.registry.user}:{self.registry.password}".encode()).decode()
        repository, _, tag = self.name.rpartition(":")
        url = f"http://{self.registry.address}/v2/{repository}/manifests/"
        headers = {"Authorization": f"Basic {login}", "Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        with urllib.request.urlopen(urllib.request.Request(url + tag, headers=headers), timeout=10) as found:
            digest = found.headers["Docker-Content-Digest"]
        deletion = urllib.request.Request(url + digest, headers=headers, method="DELETE")
        urllib.request.urlopen(deletion, timeout=10).close()

    def means(self) -> str:
        """The id of the image that the tag means here."""
        return str(self.daemon.call("GET", f"/images/{self.reference}/json")["Id"])

    def runs(self) -> str:
        """The id of the image that web runs."""
        return str(self.daemon.inspect(self.web)["Image"])

    def compose(self, web: str = "") -> str:
        """The app's Compose file; `web` are YAML lines of further attributes."""
        more = "".join(f"    {line}\n" for line in web.splitlines())
        return (
            f"services:\n  web:\n    image: {self.reference}\n    volumes: ['kept:/data']\n"
            f"    stop_signal: SIGKILL\n{more}"
            f"  db:\n    image: {self.busybox}\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n"
            "volumes: {kept: {}}\n"
        )

    def write_data(self) -> None:
        self.daemon.exec(self.web, "sh", "-c", "echo precious > /data/file")

    def data(self) -> bytes:
        return self.daemon.exec(self.web, "cat", "/data/file")

    def containers(self) -> dict[str, str]:
        """{name: state} of the project."""
        return self.daemon.running(label=[f"{PROJECT}={self.unique}"])

    def clean(self) -> None:
        for entry in self.daemon.containers(label=[f"{PROJECT}={self.unique}"]):
            self.daemon.remove(entry["Id"])
        for entry in self.daemon.call("GET", "/images/json", {"all": 0}):
            if any(self.unique in name for name in (*(entry["RepoTags"] or ()), *(entry["RepoDigests"] or ()))):
                self.daemon.answer("DELETE", f"/images/{entry['Id']}", {"force": 1})


def deploy(bench: Bench, shop: Shop, compose: str) -> None:
    """As the Server does: the agent keeps the file."""
    auths = {shop.registry.address: shop.registry.auth}
    bench.agent.deploys.start(read_deploy({"name": shop.unique, "compose": compose, "registry_auths": auths})).wait(60)


def compose_command(shop: Shop, folder: Path, docker_compose: Path, *arguments: str) -> dict[str, Any]:
    """docker compose over the folder's file, for subprocess.run."""
    return {
        "args": [str(docker_compose), "-p", shop.unique, *arguments],
        "cwd": folder,
        "env": {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DOCKER_HOST": f"unix://{shop.daemon.socket}"},
        "capture_output": True,
        "timeout": 120,
        "check": True,
    }


def bring_up(shop: Shop, compose: str, folder: Path, docker_compose: Path) -> None:
    """As somebody on the host does: the agent has no file."""
    shop.pull()
    (folder / "compose.yaml").write_text(compose)
    subprocess.run(**compose_command(shop, folder, docker_compose, "up", "-d"))
