"""The objects that the Server decodes into typed structs: one wrong type fails its whole answer (protocol 1.1, 2).

A shape is a type (`int` takes no `1.0`; `float` takes both), a list of one shape, a mapping of names to shapes where a
name that ends in `?` may be absent, or `Each(shape)` for an object with any names. Unknown names are fine, null too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Union

__all__ = [
    "APP_RECORD",
    "APP_SUMMARY",
    "CHECK_RESULT",
    "CONTAINER",
    "DETAIL",
    "HOST_INFO",
    "HOST_STATS",
    "IMAGE",
    "LINE_INFO",
    "PRUNED",
    "STATS",
    "problems",
]


@dataclass(frozen=True)
class Each:
    """An object whose names are free."""

    shape: Any


Shape = Union[type, list, Mapping, Each, Callable[[Any], bool]]


def _unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _port_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 65535


def _address(value: Any) -> bool:
    try:
        return value == "" or bool(ipaddress.ip_address(value))
    except ValueError:
        return False


PORT = {"IP?": _address, "PrivatePort": _port_number, "PublicPort?": _port_number, "Type": str}
MOUNT = {
    "Type?": str, "Name?": str, "Source": str, "Destination": str, "Driver?": str, "Mode": str, "RW": bool,
    "Propagation": str,
}  # fmt: skip
CONTAINER = {
    "id": str, "name": str, "image": str, "status": str, "state": str, "ports": [PORT], "created": int,
    "restart_policy?": str, "networks?": Each(str), "labels?": Each(str), "protected?": bool, "protection_reason?": str,
}  # fmt: skip
DETAIL = {
    **CONTAINER, "platform": str, "env": [str], "mounts": [MOUNT], "network_mode": str, "restart_policy": str,
    "networks": Each(str), "memory_limit": int, "nano_cpus": int,
}  # fmt: skip
HOST_INFO = {"hostname": str, "os": str, "cpu_cores": int, "total_memory": _unsigned, "docker_version": str}
LINE_INFO = {"docker_version": str, "os": str, "cpu_cores": int, "total_memory": _unsigned, "agent_version": str}
HOST_STATS = {
    "cpu_percent": float, "total_ram": _unsigned, "used_ram": _unsigned, "total_disk": _unsigned,
    "used_disk": _unsigned,
}  # fmt: skip
STATS = {
    "cpu_percent": float, "memory_usage": _unsigned, "memory_limit": _unsigned, "memory_percent": float,
    "network_rx": _unsigned, "network_tx": _unsigned,
}  # fmt: skip
IMAGE = {
    "id": str, "repo": str, "tag": str, "size": str, "created": str, "repo_digest?": str, "has_update?": bool,
    "remote_digest?": str,
}  # fmt: skip
CHECK_RESULT = {"has_update": bool, "local_digest?": str, "remote_digest?": str, "error?": str, "checked_at": int}
PRUNED = {"images_deleted": int, "space_reclaimed": _unsigned}
APP_RECORD = {
    "attempt_id": str, "instance_id": str, "app": str, "stage": str, "error_code?": str, "message?": str,
    "triggered_by": str, "services": Each({"image": str, "previous_digest?": str, "new_digest?": str}),
    "started_at": int, "updated_at": int, "completed_at?": int,
    "events?": [{"at": int, "stage": str, "message?": str}],
}  # fmt: skip
APP_SUMMARY = {
    "name": str, "instance_id?": str,
    "services": [{"name": str, "image": str, "state": str, "has_update": bool, "local_digest?": str,
                  "remote_digest?": str}],
    "auto_update": bool, "has_update": bool, "last_update?": APP_RECORD,
}  # fmt: skip


def problems(shape: Any, value: Any, place: str = "body") -> list[str]:
    """What the Server could not decode, or its UI not use: lists are never null, names that are needed never absent."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place} is not a list: {value!r}"]
        return [found for index, entry in enumerate(value) for found in problems(shape[0], entry, f"{place}[{index}]")]
    if value is None:
        return []
    if isinstance(shape, Each):
        if not isinstance(value, dict):
            return [f"{place} is not an object: {value!r}"]
        return [found for name, entry in value.items() for found in problems(shape.shape, entry, f"{place}.{name}")]
    if isinstance(shape, Mapping):
        return _fields(shape, value, place)
    if isinstance(shape, type):
        fits = type(value) in (int, float) if shape is float else type(value) is shape
    else:
        fits = shape(value)
    return [] if fits else [f"{place} has the wrong type or range: {value!r}"]


def _fields(shape: Mapping[str, Any], value: Any, place: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{place} is not an object: {value!r}"]
    found: list[str] = []
    for name, inner in shape.items():
        plain = name.rstrip("?")
        if plain in value:
            found += problems(inner, value[plain], f"{place}.{plain}")
        elif plain == name:
            found.append(f"{place}.{plain} is missing")
    return found
