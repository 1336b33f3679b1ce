"""A project in a folder that both can bring up: docker compose, and the agent; and what the Engine holds of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.compose.apply import Outcome, converge
from dockpal_agent.compose.load import load
from dockpal_agent.compose.observe import observe
from dockpal_agent.compose.options import Options, Progress
from dockpal_agent.compose.plan import Plan, plan
from dockpal_agent.compose.project import Project, ReadRequest, TextFile
from dockpal_agent.compose.running import remove_project
from dockpal_agent.containers.journal import Journal
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon

__all__ = ["HEX", "Held", "Stack", "normal", "tags_of"]

Json = Any
Held = dict[str, dict[str, Json]]

# What the Engine makes up for each container, or what changes by itself.
OWN: Final = frozenset(
    {
        *("Id", "Created", "State", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "Path"),
        *("Args", "RestartCount", "SandboxID", "SandboxKey", "EndpointID", "MacAddress", "NetworkID", "CreatedAt"),
        *("IPAddress", "GlobalIPv6Address", "Gateway", "IPv6Gateway", "IPPrefixLen", "DNSNames", "Containers"),
        *("Mountpoint", "ImageManifestDescriptor"),
    }
)
HEX: Final = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b")


class Stack:
    """One project. `image_id` is what all images of its file mean."""

    def __init__(self, folder: Path, project: str, daemon: Daemon, engine: Engine, docker_compose: Path) -> None:
        self.folder = folder
        self.project = project
        self.daemon = daemon
        self.engine = engine
        self.journal = Journal(folder / "journal")
        self.told: list[Progress] = []
        self._compose = docker_compose
        self.folder.mkdir(exist_ok=True)

    @property
    def path(self) -> Path:
        return self.folder / "compose.yaml"

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def read(self) -> Project:
        file = TextFile(str(self.path), self.path.read_text("utf-8"))
        variables = {"HOME": "/nonexistent"}
        request = ReadRequest((file,), str(self.folder), self.project, True, variables, from_disk=True)
        return load(request)

    def theirs(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(self._compose), "-f", str(self.path), "-p", self.project, *arguments]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DOCKER_HOST": f"unix://{self.daemon.socket}",
            "COMPOSE_PROGRESS": "plain",
        }
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=check
        )

    def plan(self, **options: Any) -> Plan:
        project = self.read()
        return plan(project, observe(self.engine, project.name, project), Options(**options))

    def ours(self, **options: Any) -> Outcome:
        return self.bring_up(Options(**{"proof": 0.5, **options}))

    def bring_up(self, options: Options, engine: Optional[Engine] = None) -> Outcome:
        self.told = []
        return converge(engine or self.engine, self.journal, self.read(), options, self.told.append)

    def down(self) -> None:
        """Away with it, and with anonymous volumes that one container took over from another."""
        label = f"com.docker.compose.project={self.project}"
        mounts = [mount for entry in self.daemon.containers(label=[label]) for mount in entry["Mounts"]]
        remove_project(self.engine, self.project, lambda progress: None, volumes=True, timeout=0)
        for name in {mount["Name"] for mount in mounts if len(mount.get("Name") or "") == 64}:
            self.daemon.answer("DELETE", f"/volumes/{name}")

    def rows(self) -> dict[str, tuple[str, str]]:
        """{container: (id, when it was started)} of all containers of the project."""
        found = {}
        for listed in self.daemon.containers(label=[f"com.docker.compose.project={self.project}"]):
            seen = self.daemon.inspect(listed["Id"])
            found[seen["Name"].lstrip("/")] = (seen["Id"], seen["State"]["StartedAt"])
        return found

    def states(self) -> dict[str, str]:
        """{container: state} of the project."""
        return self.daemon.running(label=[f"com.docker.compose.project={self.project}"])

    def held(self) -> Held:
        """Every container, network and volume of the project as inspect shows it, in a form that can be compared."""
        label = f"com.docker.compose.project={self.project}"
        listed = self.daemon.containers(label=[label])
        by_id = {entry["Id"]: entry["Names"][0].lstrip("/") for entry in listed}
        filters = {"filters": json.dumps({"label": [label]})}
        return {
            "containers": {
                name: normal(self.daemon.inspect(container_id), by_id) for container_id, name in by_id.items()
            },
            "networks": {entry["Name"]: normal(entry, {}) for entry in self.daemon.call("GET", "/networks", filters)},
            "volumes": {
                HEX.sub("<id>", entry["Name"]): normal(entry, {})
                for entry in self.daemon.call("GET", "/volumes", filters)["Volumes"] or []
            },
        }


def normal(value: Json, names: Mapping[str, str], key: str = "") -> Json:
    """Without what the Engine makes up; ids as the names that they mean, lists in one order."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in OWN and not name.startswith("dockpal.")}
        made = {_named(name, names): normal(item, names, name) for name, item in kept.items()}
        if "com.docker.compose.depends_on" in made:
            needs = sorted(str(made["com.docker.compose.depends_on"]).split(","))
            made["com.docker.compose.depends_on"] = ",".join(needs)
        if key == "IPAM":  # the address pool's choice
            made["Config"] = [{} if _is_chosen(config) else config for config in value.get("Config") or ()]
        return made
    if isinstance(value, list):
        made_list = [normal(item, names, key) for item in value]
        if key == "Aliases":
            made_list = [item for item in made_list if item != "<id>"]
        return made_list if key in ("Cmd", "Entrypoint", "Test") else sorted(made_list, key=repr)
    return _named(value, names) if isinstance(value, str) else value


def _named(text: str, names: Mapping[str, str]) -> str:
    for container_id, name in names.items():
        text = text.replace(container_id, f"<{name}>")
    return HEX.sub("<id>", text) if not text.startswith("sha256:") and len(text) < 400 else text


def _is_chosen(config: Mapping[str, str]) -> bool:
    return "Gateway" in config and "IPRange" not in config and config.get("Subnet", "").endswith(("/16", "/20", "/24"))


def tags_of(project: Project) -> Iterable[str]:
    """The images that a project names."""
    return sorted({entry["image"] for entry in project.services.values() if entry.get("image")})
