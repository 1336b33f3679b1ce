"""What is asked of the reading, and what it gives: a project, as plain as `docker compose config` prints it.

Nothing here loads YAML: the agent keeps projects, the child that read them is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from dockpal_agent.compose.errors import ComposeInvalid, Problem
from dockpal_agent.compose.tree import Path, Value

__all__ = ["Dependency", "Entry", "Project", "ReadRequest", "TextFile", "dependency_cycle", "start_order"]

Entry = dict[str, Any]  # one service, network, volume …: Compose's JSON, keys in Compose's order


@dataclass(frozen=True)
class TextFile:
    """A file by its absolute path, and its text."""

    path: str
    text: str


@dataclass(frozen=True)
class ReadRequest:
    """A project to read.

    `files` merge in their order. `texts` are files that were sent along, by absolute path; `from_disk` lets the reading
    look for others on the disk, which only the shell does. `variables` win over those of `env_files` (`.env`). A
    `project_name` that Compose does not allow is normalised, or refused where `strict_name`. `profiles` None means the
    variable COMPOSE_PROFILES.
    """

    files: tuple[TextFile, ...]
    working_dir: str
    project_name: str = ""
    strict_name: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    env_files: tuple[TextFile, ...] = ()
    profiles: Optional[tuple[str, ...]] = None
    texts: Mapping[str, str] = field(default_factory=dict)
    from_disk: bool = False


@dataclass(frozen=True)
class Dependency:
    """That one service waits for another (`depends_on`, or implied by links, volumes_from, a shared namespace)."""

    service: str
    condition: str  # service_started, service_healthy or service_completed_successfully
    restart: bool
    required: bool


@dataclass(frozen=True)
class Project:
    """A project as it would be brought up.

    `services` are the active ones, `disabled` those whose profiles are not enabled. `networks`, `volumes`, `configs`,
    `secrets` and `models` are those that an active service uses. `contents` are the texts of configs and secrets that
    come from variables or stand in the file, by (kind, key), and in a deploy those of shipped files that are mounted,
    by ("files", path): Compose prints none of them, and none is in a hash.
    `extensions` are the `x-` fields by place. `unresolved` are services as `config --hash` hashes them, where that is
    not as their containers are labelled: with the names of their env files instead of what stands in them.
    """

    name: str
    working_dir: str
    config_files: tuple[str, ...]
    services: Mapping[str, Entry]
    networks: Mapping[str, Entry] = field(default_factory=dict)
    volumes: Mapping[str, Entry] = field(default_factory=dict)
    configs: Mapping[str, Entry] = field(default_factory=dict)
    secrets: Mapping[str, Entry] = field(default_factory=dict)
    models: Mapping[str, Entry] = field(default_factory=dict)
    disabled: Mapping[str, Entry] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    contents: Mapping[tuple[str, str], str] = field(default_factory=dict)
    extensions: Mapping[Path, Value] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    unresolved: Mapping[str, Entry] = field(default_factory=dict)

    def dependencies(self, service: str) -> tuple[Dependency, ...]:
        """What a service waits for, by name; those that are neither active nor required are left out."""
        wanted = self.services[service].get("depends_on", {})
        return tuple(
            Dependency(name, entry["condition"], entry.get("restart", False), entry.get("required", True))
            for name, entry in wanted.items()
            if name in self.services
        )

    def order(self) -> tuple[str, ...]:
        """The active services, each after those it waits for; by name where nothing else decides."""
        return start_order({name: [d.service for d in self.dependencies(name)] for name in self.services})

    def replicas(self, service: str) -> int:
        """How many containers the service is to have."""
        entry = self.services[service]
        count = entry.get("scale", entry.get("deploy", {}).get("replicas"))
        return 1 if count is None else int(count)


def start_order(needs: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Names, each after all that it needs. Raises ComposeInvalid for a cycle."""
    cycle = dependency_cycle(needs)
    if cycle:
        raise ComposeInvalid([Problem(f"dependency cycle detected: {' -> '.join(cycle)}", ("services", cycle[0]))])
    ordered: dict[str, None] = {}
    for root in sorted(needs):
        stack = [(root, iter(sorted(needs[root])))]
        while stack:
            name, rest = stack[-1]
            below = next((need for need in rest if need not in ordered), None)
            if below is not None:
                stack.append((below, iter(sorted(needs.get(below, [])))))
            else:
                ordered[name] = None
                stack.pop()
    return tuple(ordered)


def dependency_cycle(needs: Mapping[str, list[str]]) -> list[str]:
    """The first cycle in the order of names, its first name also last; empty when there is none."""
    done: set[str] = set()
    for root in sorted(needs):
        path = [root]
        branches = [iter(sorted(needs[root]))]
        while branches:
            below = next(branches[-1], None)
            if below is None:
                branches.pop()
                done.add(path.pop())
            elif below in path:
                return [*path[path.index(below) :], below]
            elif below not in done and below in needs:
                path.append(below)
                branches.append(iter(sorted(needs[below])))
    return []
