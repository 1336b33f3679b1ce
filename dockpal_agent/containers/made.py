"""Networks and volumes that a group makes, or makes anew: what its undo, and a settling after a kill, do about them.

A network or a volume is written into the journal before it is made. An undo removes a network of the group's own, and a
volume of its own only where no container that mounts it was ever started: what may hold data stays.

A network whose settings changed cannot exist twice under its name. Its old settings, and how the old containers were
attached, are in the journal before it is removed; an undo makes it again from them.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Optional

from dockpal_agent.engine import Engine, EngineError, NotFound, networks, volumes

__all__ = ["NETWORK", "SWAP", "VOLUME", "Made", "now", "reattach", "remove_made", "settings_of", "swap_back"]

log = logging.getLogger(__name__)

NETWORK: Final = "network"
VOLUME: Final = "volume"
SWAP: Final = "swap"  # a network that takes the place of one with other settings
_SETTINGS: Final = ("Name", "Driver", "Internal", "Attachable", "EnableIPv6", "IPAM", "Options", "Labels")


@dataclass
class Made:
    """One network or volume. `id` is known once it is there; `since` is a time before that (UTC, ISO 8601).

    `users` are the names of the containers that mount a volume. Of a SWAP, `old_id` and `body` are the old network and
    what makes it again, `endpoints` the EndpointSettings of each old container by its id.
    """

    kind: str
    name: str
    since: str
    id: str = ""
    users: list[str] = field(default_factory=list)
    old_id: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Made:
        """What value() made. Raises TypeError for anything else."""
        return cls(**value)

    def value(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def now() -> str:
    """The time to the second, a little earlier: Docker's times of volumes have no fractions."""
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def settings_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a network like the inspected one."""
    body = {name: found[name] for name in _SETTINGS if found.get(name)}
    ipam = dict(body.get("IPAM") or {})
    if ipam.get("Options") is None:
        ipam.pop("Options", None)
    return {**body, "IPAM": ipam} if ipam else body


def swap_back(engine: Engine, made: Made) -> None:
    """The old network under its name, the old containers attached to it as they were. Harmless where nothing happened.

    The containers that were made for the new one have been stopped. Raises EngineError.
    """
    found = _find(engine, made.name)
    if found is not None and found.get("Id") == made.old_id:
        return _attach_lacking(engine, made, found)
    if found is not None:
        for container_id in found.get("Containers") or {}:
            with contextlib.suppress(NotFound):
                networks.disconnect(engine, str(found["Id"]), container_id, force=True)
        networks.remove(engine, str(found["Id"]))
    networks.create(engine, made.body)
    for container_id, endpoint in made.endpoints.items():
        reattach(engine, made.name, container_id, endpoint)
    return None


def reattach(engine: Engine, network: str, container_id: str, endpoint: Mapping[str, Any]) -> None:
    """Attach a stopped container to the network that has this name now; it may still know one that is gone."""
    try:
        networks.disconnect(engine, network, container_id, force=True)
    except EngineError as error:
        log.debug("network %s: container %s was not attached: %s", network, container_id[:12], error)
    try:
        networks.connect(engine, network, container_id, endpoint)
    except NotFound as error:
        log.warning("network %s: container %s cannot be attached again: %s", network, container_id[:12], error)


def remove_made(engine: Engine, made: Made, started: Collection[str]) -> Optional[str]:
    """Remove what the group made; what was done, in words, None for nothing. `started` are containers that ran.

    What is in use stays, and so does a volume that a started container had. Raises EngineError.
    """
    if made.kind == NETWORK:
        found = _find(engine, made.name)
        if found is None or not _is_ours(made, str(found.get("Id") or ""), str(found.get("Created") or "")):
            return None
        networks.remove(engine, str(found["Id"]))
        return f"network {made.name}: removed"
    if made.kind == VOLUME:
        return _remove_volume(engine, made, started)
    return None


def _remove_volume(engine: Engine, made: Made, started: Collection[str]) -> Optional[str]:
    try:
        found = volumes.inspect(engine, made.name)
    except NotFound:
        return None
    if not _is_ours(made, "", str(found.get("CreatedAt") or "")):
        return None
    if set(made.users) & set(started):
        return f"volume {made.name}: kept, with what was written into it"
    volumes.remove(engine, made.name)
    return f"volume {made.name}: removed"


def _attach_lacking(engine: Engine, made: Made, found: Mapping[str, Any]) -> None:
    """The old network is still there, or there again: containers that were taken off it are attached."""
    for container_id, endpoint in made.endpoints.items():
        try:
            networks.connect(engine, str(found["Id"]), container_id, endpoint)
        except EngineError as error:  # it is attached, or gone
            log.debug("network %s: container %s: %s", made.name, container_id[:12], error)


def _is_ours(made: Made, found_id: str, created: str) -> bool:
    """By its id; where a kill kept that from us, by its age."""
    return found_id == made.id if made.id and found_id else created[:19] >= made.since[:19]


def _find(engine: Engine, name: str) -> Optional[Mapping[str, Any]]:
    """The network of exactly this name."""
    for listed in networks.list_networks(engine, filters={"name": name}):
        if listed.get("Name") == name:
            return networks.inspect(engine, str(listed["Id"]))
    return None
