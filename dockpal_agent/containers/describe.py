"""What the API says about a container, made from Docker's own objects.

`summary` is protocol 2's ContainerInfo, from an entry of Docker's list; `detail` is ContainerDetail, from an inspect.
The Server decodes both into Go structs, where one value of a wrong type fails a whole answer: each is made what it must
be.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Optional

from dockpal_agent.containers.moments import parse_moment

__all__ = ["SHORT_ID", "detail", "name_of", "restart_policy", "summary"]

SHORT_ID: Final = 12  # characters of an id, as Docker shows it
PORT_TYPES: Final = ("tcp", "udp", "sctp")
MOUNT_TEXTS: Final = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "Propagation")

_PORT: Final = re.compile(r"([0-9]{1,5})(?:/([a-z]+))?", re.ASCII)


def summary(entry: Mapping[str, Any], policy: Optional[str], reason: Optional[str]) -> dict[str, Any]:
    """ContainerInfo of one entry of GET /containers/json.

    `policy` is the restart policy, None where it is unknown (then it is left out); `reason` why it is protected, if so.
    """
    info: dict[str, Any] = {
        "id": str(entry.get("Id") or "")[:SHORT_ID],
        "name": _own_name(entry.get("Names") or ()),
        "image": str(entry.get("Image") or ""),
        "status": str(entry.get("Status") or ""),
        "state": str(entry.get("State") or ""),
        "ports": _sorted(_listed_port(port) for port in entry.get("Ports") or ()),
        "created": _whole(entry.get("Created")),
        "networks": _networks(entry),
        "labels": _labels(entry.get("Labels")),
        "protected": reason is not None,
    }
    if policy is not None:
        info["restart_policy"] = policy
    if reason is not None:
        info["protection_reason"] = reason
    return info


def detail(found: Mapping[str, Any], reason: Optional[str]) -> dict[str, Any]:
    """ContainerDetail of an inspect (GET /containers/{id}/json); `reason` why it is protected, if it is."""
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    state = str((found.get("State") or {}).get("Status") or "")
    info: dict[str, Any] = {
        "id": str(found.get("Id") or "")[:SHORT_ID],
        "name": name_of(found),
        "image": str(config.get("Image") or ""),
        "status": state,
        "state": state,
        "ports": _inspected_ports(found),
        "created": _unix(str(found.get("Created") or "")),
        "restart_policy": restart_policy(found),
        "networks": _networks(found),
        "labels": _labels(config.get("Labels")),
        "protected": reason is not None,
        "platform": str(found.get("Platform") or "linux"),
        "env": [str(entry) for entry in config.get("Env") or ()],
        "mounts": [_mount(mount) for mount in found.get("Mounts") or ()],
        "network_mode": str(host.get("NetworkMode") or ""),
        "memory_limit": _whole(host.get("Memory")),
        "nano_cpus": _whole(host.get("NanoCpus")),
    }
    if reason is not None:
        info["protection_reason"] = reason
    return info


def name_of(found: Mapping[str, Any]) -> str:
    """The name of an inspected container, without Docker's slash."""
    return str(found.get("Name") or "").lstrip("/")


def restart_policy(found: Mapping[str, Any]) -> str:
    """The restart policy's name: no, always, unless-stopped, on-failure, or "" where the creator said nothing."""
    return str(((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "")


def _own_name(names: Iterable[Any]) -> str:
    """The container's own among the names of a list's entry; a legacy link adds `/other/alias`."""
    plain = [str(name).lstrip("/") for name in names]
    return next((name for name in plain if "/" not in name), plain[0] if plain else "")


def _listed_port(port: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    public = port.get("PublicPort")
    return _port(port.get("PrivatePort"), port.get("Type"), public, port.get("IP") if public else None)


def _inspected_ports(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is exposed and published; of a stopped container what is configured, as the edit form starts from it."""
    bindings: dict[str, Any] = dict((found.get("NetworkSettings") or {}).get("Ports") or {})
    if not bindings:
        bindings.update(dict.fromkeys((found.get("Config") or {}).get("ExposedPorts") or {}))
        bindings.update((found.get("HostConfig") or {}).get("PortBindings") or {})
    ports = []
    for key, published in bindings.items():
        match = _PORT.fullmatch(str(key))
        if match is None:
            continue
        bindings_here: list[dict[str, Any]] = published or [{}]
        for binding in bindings_here:
            public = str(binding.get("HostPort") or "")
            number = int(public) if public.isascii() and public.isdigit() else None  # "" or a range: Docker will choose
            ports.append(_port(int(match.group(1)), match.group(2), number, binding.get("HostIp")))
    return _sorted(ports)


def _port(private: Any, kind: Any, public: Any, address: Any) -> Optional[dict[str, Any]]:
    """A Port, None for what cannot be one. Keys as Docker writes them."""
    if not _is_port(private):
        return None
    port: dict[str, Any] = {"PrivatePort": private, "Type": kind if kind in PORT_TYPES else "tcp"}
    if _is_port(public) and public:
        port["PublicPort"] = public
    text = _address(address) if isinstance(address, str) else ""
    if text:
        port["IP"] = text
    return port


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535


@lru_cache(maxsize=256)
def _address(text: str) -> str:
    """The address if it is one, else "": the Server's decoder fails on `invalid IP`, which newer engines write."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ""
    return text


def _sorted(ports: Iterable[Optional[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Docker's order changes from call to call; ours does not."""
    kept = [port for port in ports if port is not None]
    kept.sort(key=lambda port: (port["PrivatePort"], port["Type"], port.get("PublicPort", 0), port.get("IP", "")))
    return kept


def _networks(container: Mapping[str, Any]) -> dict[str, str]:
    """{network: address}, "" where it has none (a stopped container)."""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return {str(name): _endpoint_address(endpoint or {}) for name, endpoint in networks.items()}


def _endpoint_address(endpoint: Mapping[str, Any]) -> str:
    for key in ("IPAddress", "GlobalIPv6Address"):
        text = endpoint.get(key)
        if isinstance(text, str) and text:
            return _address(text)
    return ""


def _labels(labels: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's MountPoint, the optional texts only where there are any."""
    texts = {key: str(mount.get(key) or "") for key in MOUNT_TEXTS}
    kept = {key: text for key, text in texts.items() if text or key in ("Source", "Destination", "Mode", "Propagation")}
    return {**kept, "RW": bool(mount.get("RW"))}


def _whole(value: Any) -> int:
    """A number as a non-negative integer that Go's int64 holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    return min(max(int(value), 0), (1 << 63) - 1)


def _unix(text: str) -> int:
    """Unix seconds of Docker's time; 0 where there is none."""
    return max((parse_moment(text) or 0) // 10**9, 0)
