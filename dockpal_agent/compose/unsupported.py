"""What the agent does not do, by name: modelled and printed by `config`, refused by `plan`, `up` and deploys.

docs/compose.md lists the same. What is merely without effect outside a swarm is a hint, not a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dockpal_agent.compose.errors import Problem
from dockpal_agent.compose.limits import MOST_CONTAINERS
from dockpal_agent.compose.project import Entry, Project

__all__ = ["REFUSED_ATTRIBUTES", "ignored", "unsupported"]

REFUSED_ATTRIBUTES: Final[Mapping[str, str]] = {
    "credential_spec": "credential_spec is for Windows containers",
    "isolation": "isolation is for Windows containers",
    "models": "models need Docker Model Runner",
    "provider": "provider needs a plug-in of docker compose",
    "use_api_socket": "use_api_socket hands the Docker socket to the container; mount it in `volumes` if that is meant",
}
_REFUSED_MOUNTS: Final = ("npipe", "cluster")
_SWARM_ONLY: Final = ("labels", "update_config", "rollback_config", "endpoint_mode", "placement")


def unsupported(project: Project) -> list[Problem]:
    """All that an active service asks for and the agent does not do; empty when the project can be brought up."""
    found = [problem for name in project.services for problem in _of_service(name, project.services[name])]
    for kind in ("configs", "secrets"):
        for key, entry in getattr(project, kind).items():
            found.extend(_of_file(kind, key, entry))
    return [*found, *_too_many(project)]


def _too_many(project: Project) -> Iterator[Problem]:
    """A slip of the finger in `scale` must not fill the agent's memory, nor the host."""
    counts = {name: project.replicas(name) for name in project.services}
    if sum(counts.values()) > MOST_CONTAINERS:
        most = max(counts, key=lambda name: counts[name])
        yield Problem(
            f"services.{most}: {counts[most]} replicas are too many: a project may have {MOST_CONTAINERS} containers",
            ("services", most, "scale" if "scale" in project.services[most] else "deploy"),
        )


def _of_service(name: str, entry: Entry) -> Iterator[Problem]:
    for attribute, reason in REFUSED_ATTRIBUTES.items():
        if entry.get(attribute):
            yield Problem(f"services.{name}.{attribute} is not supported: {reason}", ("services", name, attribute))
    if "build" in entry and not entry.get("image"):
        yield Problem(f"service {name} needs build; the agent only runs images", ("services", name, "build"))
    for index, mount in enumerate(entry.get("volumes", ())):
        if mount.get("type") in _REFUSED_MOUNTS:
            words = f"services.{name}.volumes.{index}: type {mount['type']} is not supported"
            yield Problem(words, ("services", name, "volumes", index))


def _of_file(kind: str, key: str, entry: Entry) -> Iterator[Problem]:
    if entry.get("external"):
        yield Problem(f"unsupported external {kind[:-1]} {key}", (kind, key))
    for attribute in ("driver", "template_driver"):
        if entry.get(attribute):
            yield Problem(f"{kind}.{key}.{attribute} is not supported: it is for swarms", (kind, key, attribute))


def ignored(project: Project) -> list[str]:
    """One line for each service with attributes that only a swarm looks at, or that need the sources."""
    lines = []
    for name, entry in project.services.items():
        deploy = entry.get("deploy", {})
        unused = [f"deploy.{key}" for key in _SWARM_ONLY if deploy.get(key)]
        unused += [key for key in ("develop", "attach") if key in entry]
        if unused:
            lines.append(f"services.{name}: {', '.join(unused)} has no effect here and is ignored")
    return lines
