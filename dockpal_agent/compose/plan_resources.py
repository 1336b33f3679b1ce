"""Which networks and volumes a project needs, which are there, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dockpal_agent.compose import labels
from dockpal_agent.compose.desired import network_body
from dockpal_agent.compose.hashes import network_hash, volume_hash
from dockpal_agent.compose.observe import Observed
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Entry, Project
from dockpal_agent.compose.refusals import PlanRefused

__all__ = ["Resource", "Resources", "resources"]

BUILT_IN: Final = ("bridge", "host", "none")
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """A network or a volume: `key` in the file, `name` in Docker; `action` create, keep or recreate."""

    key: str
    name: str
    action: str
    reason: str
    data_at_risk: str = ""


@dataclass
class Resources:
    """All of a project. `network_ids` are Docker's by key, "" for one that is yet to be made."""

    networks: list[Resource] = field(default_factory=list)
    volumes: list[Resource] = field(default_factory=list)
    network_ids: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def network_names(self) -> dict[str, str]:
        """Docker's names by key."""
        return {one.key: one.name for one in self.networks}

    @property
    def volume_names(self) -> dict[str, str]:
        """Docker's names by key."""
        return {one.key: one.name for one in self.volumes}


def resources(project: Project, observed: Observed, options: Options) -> Resources:
    """Decide. Raises PlanRefused for what is external and missing, naming all of it."""
    made, missing = Resources(), []
    for key, entry in project.networks.items():
        if entry.get("external") and entry["name"] not in {*observed.networks, *BUILT_IN}:
            missing.append(f"network {entry['name']} declared as external, but could not be found")
            continue
        one = _network(project, key, entry, observed, options, made)
        made.networks.append(one)
        found = observed.networks.get(one.name, {})
        made.network_ids[key] = str(found.get("Id") or "") if one.action == "keep" else ""
    for key, entry in project.volumes.items():
        if entry.get("external") and entry["name"] not in observed.volumes:
            missing.append(f'external volume "{entry["name"]}" not found')
            continue
        made.volumes.append(_volume(project, key, entry, observed, made))
    if missing:
        raise PlanRefused("\n".join(missing))
    return made


def _network(
    project: Project, key: str, entry: Entry, observed: Observed, options: Options, made: Resources
) -> Resource:
    name = str(entry["name"])
    if entry.get("external"):
        return Resource(key, name, "keep", "it is external")
    joined = options.api and _without_settings(project, key, entry) and observed.networks.get(key)
    if joined and _is_free(joined, project) and name not in observed.networks:
        made.warnings.append(
            f"network {key} has no settings, and Docker has a network of exactly this name: it is joined "
            f"(write `external: true` to say so, or give it a `name` to have one of its own)"
        )
        return Resource(key, key, "keep", "Docker has a network of exactly this name")
    found = observed.networks.get(name)
    if found is None:
        return Resource(key, name, "create", "it is missing")
    return _existing_network(project, key, entry, found, options, observed, made)


def _existing_network(
    project: Project, key: str, entry: Entry, found: Found, options: Options, observed: Observed, made: Resources
) -> Resource:
    name, given = str(entry["name"]), found.get("Labels") or {}
    owner, owner_key = given.get(labels.PROJECT), given.get(labels.NETWORK)
    if owner != project.name:
        whose = "by Compose" if owner is None else f"for project {project.name}"
        made.warnings.append(
            f"a network with name {name} exists but was not created {whose}; "
            "set `external: true` to use an existing network"
        )
        return Resource(key, name, "keep", "it exists, made elsewhere")
    if owner_key not in (None, key):
        raise PlanRefused(
            f"network {name} was found but has incorrect label {labels.NETWORK} "
            f'set to "{owner_key}" (expected: "{key}")'
        )
    known = given.get(labels.CONFIG_HASH, "")
    if known in ("", network_hash(entry)):
        return Resource(key, name, "keep", "it exists")
    if given.get(labels.VERSION) != options.version_label and _same(
        network_body(project, key, options, observed.api_version), found
    ):
        return Resource(key, name, "keep", "it exists, with the same settings")
    return Resource(key, name, "recreate", "its settings changed")


def _volume(project: Project, key: str, entry: Entry, observed: Observed, made: Resources) -> Resource:
    name = str(entry["name"])
    if entry.get("external"):
        return Resource(key, name, "keep", "it is external")
    found = observed.volumes.get(name)
    if found is None:
        return Resource(key, name, "create", "it is missing")
    given = found.get("Labels") or {}
    if given.get(labels.PROJECT) != project.name:
        whose = "by Docker Compose" if labels.PROJECT not in given else f"for project {project.name}"
        made.warnings.append(
            f'volume "{name}" already exists but was not created {whose}. '
            "Use `external: true` to use an existing volume"
        )
        return Resource(key, name, "keep", "it exists, made elsewhere")
    known = given.get(labels.CONFIG_HASH, "")
    if known in ("", volume_hash(entry)) or _same_volume(entry, found):
        return Resource(key, name, "keep", "it exists")
    risk = "its settings changed in the file: making it anew would delete its data, so it stays as it is"
    made.warnings.append(f"volume {name}: {risk}")
    return Resource(key, name, "keep", "it exists, with other settings", risk)


def _without_settings(project: Project, key: str, entry: Entry) -> bool:
    """A top-level network that says nothing, under its usual name. Docker's own three are joined only where a file says
    so: `host` would have all ports of the host, `none` no network, and `bridge` takes no aliases.
    """
    said = {name for name, value in entry.items() if value} - {"name"}
    return not said and entry["name"] == f"{project.name}_{key}" and key not in ("default", *BUILT_IN)


def _is_free(found: Found, project: Project) -> bool:
    """Whether a network is no other project's."""
    return (found.get("Labels") or {}).get(labels.PROJECT) in (None, project.name)


def _same(body: Found, found: Found) -> bool:
    """Whether a network that is there has all settings that are asked for, and no others of weight."""
    if (body.get("Driver") or "bridge") != found.get("Driver"):
        return False
    for name in ("Internal", "Attachable", "EnableIPv6"):
        if bool(body.get(name)) != bool(found.get(name)):
            return False
    if dict(body.get("Options") or {}) != dict(found.get("Options") or {}):
        return False
    if _own_labels(body.get("Labels")) != _own_labels(found.get("Labels")):
        return False
    wanted = (body.get("IPAM") or {}).get("Config") or []
    given = (found.get("IPAM") or {}).get("Config") or []
    return all(any(config.items() <= other.items() for other in given) for config in wanted)


def _same_volume(entry: Entry, found: Found) -> bool:
    return (
        (entry.get("driver") or "local") == found.get("Driver")
        and dict(entry.get("driver_opts") or {}) == dict(found.get("Options") or {})
        and dict(entry.get("labels") or {}) == _own_labels(found.get("Labels"))
    )


def _own_labels(given: Any) -> dict[str, str]:
    return {name: value for name, value in (given or {}).items() if not name.startswith("com.docker.compose.")}
