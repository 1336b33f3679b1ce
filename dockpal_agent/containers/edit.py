"""What an edit asks for (protocol 2, EditRequest), checked; and what it comes to for one container.

The Server's page sends everything back with every change, and its form is lossy (protocol 2.2): what is asked for is
compared with what is, and only a real difference counts.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Optional

from dockpal_agent.containers import aside
from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import is_image_id, parse

__all__ = ["Edit", "InvalidEdit", "PortRow", "VolumeRow", "read", "same_image"]

POLICIES: Final = ("no", "always", "unless-stopped", "on-failure")
PROTOCOLS: Final = ("tcp", "udp", "sctp")  # the Server lets the first two through; a list may show the third
LARGEST: Final = (1 << 63) - 1  # Docker's int64
MOST_CORES: Final = 1 << 20  # cores; Docker refuses more than the host has, in its own words
NANO: Final = 1_000_000_000  # NanoCpus of one core
ROWS: Final = 4096  # entries of one list

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}", re.ASCII)
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_ENV: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # tab and newline are meant


class InvalidEdit(Exception):
    """The request is not an edit; the text names the field and says what it must be."""


class PortRow(NamedTuple):
    """A published port as the form shows it: it knows no host address."""

    host_port: int
    container_port: int
    protocol: str

    @property
    def key(self) -> str:
        """As Docker writes the container's side: 80/tcp."""
        return f"{self.container_port}/{self.protocol}"


class VolumeRow(NamedTuple):
    """A mount as the form shows it: a volume's source is its path on the host, or its name."""

    host_path: str
    container_path: str
    read_only: bool


@dataclass(frozen=True)
class Edit:
    """What is asked for; None leaves things as they are. Memory is bytes and 0 no limit, likewise `nano_cpus`."""

    name: Optional[str] = None
    restart_policy: Optional[str] = None
    memory: Optional[int] = None
    nano_cpus: Optional[int] = None
    image: Optional[str] = None
    env: Optional[tuple[str, ...]] = None
    ports: Optional[frozenset[PortRow]] = None
    volumes: Optional[tuple[VolumeRow, ...]] = None


def read(body: Mapping[str, Any]) -> Edit:
    """The edit that a JSON object asks for; unknown fields are ignored. Raises InvalidEdit for a wrong value."""
    return Edit(
        name=_name(body.get("name")),
        restart_policy=_policy(body.get("restart_policy")),
        memory=_memory(body.get("memory_limit")),
        nano_cpus=_cores(body.get("cpu_limit")),
        image=_image(body.get("image")),
        env=_env(body.get("env")),
        ports=_ports(body.get("ports")),
        volumes=_volumes(body.get("volumes")),
    )


def same_image(one: str, other: str) -> bool:
    """Whether two references are one, however they are written (`nginx`, `docker.io/library/nginx:latest`)."""
    if one == other:
        return True
    if is_image_id(one) or is_image_id(other):
        return False
    try:
        return parse(one) == parse(other)
    except InvalidReference:
        return False


def _name(value: Any) -> Optional[str]:
    name = _text(value, "name")
    if not name:
        return None
    if not _NAME.fullmatch(name):
        raise InvalidEdit("name must be 1 to 128 letters, digits, dots, dashes and underscores, not one of these first")
    if aside.is_aside(name):
        raise InvalidEdit("name is of the form that the agent itself gives to containers which it replaces")
    return name


def _policy(value: Any) -> Optional[str]:
    policy = _text(value, "restart_policy")
    if policy and policy not in POLICIES:
        raise InvalidEdit(f"restart_policy must be one of {', '.join(POLICIES)}")
    return policy or None


def _memory(value: Any) -> Optional[int]:
    if value is None:
        return None
    return _integer(value, "memory_limit", 0, LARGEST, "bytes, a whole number, 0 for none")


def _cores(value: Any) -> Optional[int]:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidEdit("cpu_limit must be a number of cores, 0 for none")
    if not 0 <= value <= MOST_CORES:
        raise InvalidEdit(f"cpu_limit must be from 0 to {MOST_CORES}")
    nano: int = round(value * NANO)
    return nano


def _image(value: Any) -> Optional[str]:
    image = _text(value, "image").strip()
    if not image:
        return None
    if not is_image_id(image):
        try:
            parse(image)
        except InvalidReference as error:
            raise InvalidEdit(f"image: {error}") from error
    return image


def _env(value: Any) -> Optional[tuple[str, ...]]:
    if value is None:
        return None
    entries = tuple(_text(entry, f"env[{index}]") for index, entry in enumerate(_list(value, "env")))
    for index, entry in enumerate(entries):
        if not entry or entry.startswith("="):
            raise InvalidEdit(f"env[{index}] must be NAME=value")
        if _CONTROL_IN_ENV.search(entry):
            raise InvalidEdit(f"env[{index}] contains control characters")
    return entries


def _ports(value: Any) -> Optional[frozenset[PortRow]]:
    if value is None:
        return None
    return frozenset(_port(entry, f"ports[{index}]") for index, entry in enumerate(_list(value, "ports")))


def _port(value: Any, where: str) -> PortRow:
    row = _object(value, where)
    protocol = _text(row.get("protocol"), f"{where}.protocol").lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise InvalidEdit(f"{where}.protocol must be one of {', '.join(PROTOCOLS)}")
    numbers = [
        _integer(row.get(side), f"{where}.{side}", 1, 65535, "a port from 1 to 65535")
        for side in ("host_port", "container_port")
    ]
    return PortRow(numbers[0], numbers[1], protocol)


def _volumes(value: Any) -> Optional[tuple[VolumeRow, ...]]:
    if value is None:
        return None
    rows = [_volume(entry, f"volumes[{index}]") for index, entry in enumerate(_list(value, "volumes"))]
    targets: dict[str, VolumeRow] = {}
    for index, row in enumerate(rows):
        if targets.setdefault(row.container_path, row) != row:
            raise InvalidEdit(f"volumes[{index}].container_path: {row.container_path} is mounted twice")
    return tuple(targets.values())


def _volume(value: Any, where: str) -> VolumeRow:
    row = _object(value, where)
    paths = {side: _text(row.get(side), f"{where}.{side}") for side in ("host_path", "container_path")}
    for side, path in paths.items():
        if not path or _CONTROL.search(path):
            raise InvalidEdit(f"{where}.{side} must be a path without control characters")
    source, target = paths["host_path"], posixpath.normpath(paths["container_path"]).replace("//", "/")
    if not source.startswith("/") and not _VOLUME_NAME.fullmatch(source):
        raise InvalidEdit(f"{where}.host_path must be an absolute path, or the name of a volume")
    if not target.startswith("/") or target == "/":
        raise InvalidEdit(f"{where}.container_path must be an absolute path below /")
    read_only = row.get("read_only")
    if read_only is not None and not isinstance(read_only, bool):
        raise InvalidEdit(f"{where}.read_only must be true or false")
    return VolumeRow(source, target, bool(read_only))


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidEdit(f"{where} must be a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidEdit(f"{where} is not valid text")
    return value


def _integer(value: Any, where: str, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidEdit(f"{where} must be {what}")
    return int(value)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidEdit(f"{where} must be a list")
    if len(value) > ROWS:
        raise InvalidEdit(f"{where} must not have more than {ROWS} entries")
    return value


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEdit(f"{where} must be an object")
    return value
