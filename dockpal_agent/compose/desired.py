"""What a service's container, a network and a volume are to be: the bodies that Docker is sent to make them.

Coverage 2 to 7; docker compose's pkg/compose/create.go, getCreateConfigs. Which field an API version knows decides what
is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Optional

from dockpal_agent.compose.binds import mount_fields, old_volumes
from dockpal_agent.compose.endpoints import chosen_mac, endpoints, link_texts
from dockpal_agent.compose.hashes import network_hash, service_hash, volume_hash
from dockpal_agent.compose.hostconfig import host_fields
from dockpal_agent.compose.labels import NETWORK, VOLUME, container_labels, resource_labels
from dockpal_agent.compose.normalise import CONTAINER_PREFIX, SERVICE_PREFIX
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Entry, Project
from dockpal_agent.compose.units import nanoseconds
from dockpal_agent.containers.create import CreateRequest

__all__ = [
    "Surroundings",
    "container_name",
    "container_request",
    "network_body",
    "parents_of",
    "resolved",
    "volume_body",
]

_SHARED: Final = ("network_mode", "ipc", "pid", "uts", "cgroup")  # may be `service:X`

# attribute → ContainerConfig's field, values as they are
_PLAIN: Final = {
    "command": "Cmd",
    "domainname": "Domainname",
    "entrypoint": "Entrypoint",
    "hostname": "Hostname",
    "image": "Image",
    "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal",
    "tty": "Tty",
    "user": "User",
    "working_dir": "WorkingDir",
}
_DURATIONS: Final = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}


@dataclass(frozen=True)
class Surroundings:
    """What the bodies depend on beside the project.

    `networks` and `volumes` are Docker's names by key; `images` inspects by reference; `parents` the id of the first
    container of each service that others may refer to; `names` the names of all containers of a service, `ids` theirs.
    """

    options: Options
    version: tuple[int, int]
    networks: Mapping[str, str]
    volumes: Mapping[str, str]
    images: Mapping[str, Optional[Mapping[str, Any]]]
    parents: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


def container_name(project: Project, service: str, number: int) -> str:
    """`container_name`, else `<project>-<service>-<number>`."""
    return str(project.services[service].get("container_name") or f"{project.name}-{service}-{number}")


def parents_of(entry: Entry) -> list[str]:
    """The services in whose namespaces, or with whose volumes, this one lives."""
    found = [
        str(entry[key])[len(SERVICE_PREFIX) :] for key in _SHARED if str(entry.get(key, "")).startswith(SERVICE_PREFIX)
    ]
    found += [text.split(":")[0] for text in entry.get("volumes_from", ()) if not text.startswith(CONTAINER_PREFIX)]
    return list(dict.fromkeys(found))


def resolved(entry: Entry, parents: Mapping[str, str]) -> Entry:
    """The entry with `service:X` as `container:<id>`, as docker compose hashes it. Raises KeyError: no such parent."""
    made = dict(entry)
    for key in _SHARED:
        value = str(entry.get(key, ""))
        if value.startswith(SERVICE_PREFIX):
            made[key] = CONTAINER_PREFIX + parents[value[len(SERVICE_PREFIX) :]]
    if "volumes_from" in entry:
        made["volumes_from"] = [_volumes_from(text, parents)[0] for text in entry["volumes_from"]]
    return made


def _volumes_from(text: str, parents: Mapping[str, str]) -> tuple[str, str]:
    """(the container, ":ro" or "")."""
    if text.startswith(CONTAINER_PREFIX):
        container, colon, mode = text[len(CONTAINER_PREFIX) :].partition(":")
        return container, colon + mode
    service, colon, mode = text.partition(":")
    return parents[service], colon + mode


def container_request(
    project: Project, service: str, number: int, around: Surroundings, replaced: Sequence[Mapping[str, Any]] = ()
) -> CreateRequest:
    """What makes one container of a service; `replaced` are the mounts of the one that it replaces.

    Raises KeyError for a parent that is not there, ValueError for a value that Docker could not take.
    """
    entry = project.services[service]
    complete = resolved(entry, around.parents)
    name = container_name(project, service, number)
    image = around.images.get(entry.get("image", ""))
    links = link_texts(project.name, entry, number, around.names, {})
    config = _config(complete, around.version)
    config["Labels"] = container_labels(
        project, service, number, service_hash(complete), str((image or {}).get("Id") or ""), around.options
    )
    mode, found = _network(service, complete, name, around, links)
    if around.version < (1, 44) and chosen_mac(entry):
        config["MacAddress"] = chosen_mac(entry)
    host = {
        **host_fields(complete, around.version),
        **mount_fields(project, entry, around.volumes, old_volumes(entry, image, replaced), around.version),
        **_ports(entry),
        "NetworkMode": mode,
    }
    if entry.get("volumes_from"):
        host["VolumesFrom"] = ["".join(_volumes_from(text, around.parents)) for text in entry["volumes_from"]]
    if links:
        host["Links"] = link_texts(project.name, entry, number, around.names, around.ids)
    return CreateRequest({**config, "HostConfig": host}, found, platform=entry.get("platform"))


def _network(
    service: str, entry: Entry, name: str, around: Surroundings, links: Sequence[str]
) -> tuple[str, Optional[dict[str, dict[str, Any]]]]:
    if entry.get("network_mode"):
        return str(entry["network_mode"]), None
    found = endpoints(service, entry, name, around.networks, links, around.version)
    return next(iter(found), "none"), found or None


def _config(entry: Entry, version: tuple[int, int]) -> dict[str, Any]:
    """ContainerConfig without labels."""
    config = {field: entry[key] for key, field in _PLAIN.items() if entry.get(key) is not None}
    config.update({"AttachStdout": True, "AttachStderr": True})
    environment: Mapping[str, Optional[str]] = entry.get("environment", {})
    config["Env"] = [name if value is None else f"{name}={value}" for name, value in environment.items()]
    config["ExposedPorts"] = {port: {} for port in _exposed(entry)}
    if "healthcheck" in entry:
        config["Healthcheck"] = _health(entry["healthcheck"], version)
    if "stop_grace_period" in entry:
        config["StopTimeout"] = nanoseconds(entry["stop_grace_period"]) // 10**9
    return config


def _health(check: Entry, version: tuple[int, int]) -> dict[str, Any]:
    """Nanoseconds. `start_interval` is left out where the API does not know it; the plan warns."""
    made: dict[str, Any] = {}
    test = ["NONE"] if check.get("disable") else check.get("test")
    if test:
        made["Test"] = test
    made.update({field: nanoseconds(check[key]) for key, field in _DURATIONS.items() if key in check})
    if "start_interval" in check and version >= (1, 44):
        made["StartInterval"] = nanoseconds(check["start_interval"])
    if check.get("retries"):
        made["Retries"] = check["retries"]
    return made


def _exposed(entry: Entry) -> list[str]:
    """What is exposed, as the file has it (`80` without a protocol, too, as docker compose does), and published."""
    return [*entry.get("expose", ()), *(f"{port['target']}/{port['protocol']}" for port in entry.get("ports", ()))]


def _ports(entry: Entry) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in entry.get("ports", ()):
        binding = {"HostIp": port.get("host_ip", ""), "HostPort": port.get("published", "")}
        bindings.setdefault(f"{port['target']}/{port['protocol']}", []).append(binding)
    return {"PortBindings": bindings}


def network_body(project: Project, key: str, options: Options, version: tuple[int, int]) -> dict[str, Any]:
    """POST /networks/create."""
    entry = project.networks[key]
    body: dict[str, Any] = {
        "Name": entry["name"],
        "Labels": resource_labels(project, NETWORK, key, entry, network_hash(entry), options),
    }
    for attribute, field_name in (
        ("driver", "Driver"),
        ("driver_opts", "Options"),
        ("internal", "Internal"),
        ("attachable", "Attachable"),
        ("enable_ipv6", "EnableIPv6"),
    ):
        if entry.get(attribute):
            body[field_name] = entry[attribute]
    if "enable_ipv4" in entry and version >= (1, 47):
        body["EnableIPv4"] = entry["enable_ipv4"]
    ipam = entry.get("ipam", {})
    if ipam.get("driver") or ipam.get("config"):
        configs = [_ipam_config(config) for config in ipam.get("config", ())]
        body["IPAM"] = {**({"Driver": ipam["driver"]} if ipam.get("driver") else {}), "Config": configs}
    return body


def _ipam_config(config: Entry) -> dict[str, Any]:
    fields = {
        "Subnet": config.get("subnet"),
        "IPRange": config.get("ip_range"),
        "Gateway": config.get("gateway"),
        "AuxiliaryAddresses": config.get("aux_addresses"),
    }
    return {name: value for name, value in fields.items() if value}


def volume_body(project: Project, key: str, options: Options) -> dict[str, Any]:
    """POST /volumes/create."""
    entry = project.volumes[key]
    body: dict[str, Any] = {
        "Name": entry["name"],
        "Labels": resource_labels(project, VOLUME, key, entry, volume_hash(entry), options),
    }
    if entry.get("driver"):
        body["Driver"] = entry["driver"]
    if entry.get("driver_opts"):
        body["DriverOpts"] = entry["driver_opts"]
    return body
