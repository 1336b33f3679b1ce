"""A container's successor from its inspect: everything that Docker shows and a create takes, carried over.

Docker's objects are copied whole and then corrected: what is copied field by field is lost at the next Engine version.
What has to be corrected stands in this module, and in mounts.py for volumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.containers import mounts
from dockpal_agent.containers.create import MANY_NETWORKS, CreateRequest, is_network, network_of_mode
from dockpal_agent.containers.putfiles import put_into
from dockpal_agent.engine import Engine, NotFound, containers, system

__all__ = ["config_of", "endpoints_of", "host_config_of", "over"]

# Fields of EndpointSettings that say what the engine did, not what anybody asked for.
OPERATIONAL: Final = frozenset(
    {
        *("EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address"),
        *("GlobalIPv6PrefixLen", "DNSNames", "MacAddress"),
    }
)


def over(engine: Engine, old: Mapping[str, Any]) -> CreateRequest:
    """What makes a container like the inspected one: same image, settings, networks, volumes, anonymous ones too,
    and the files that were put into it.
    """
    host = host_config_of(old)
    host["VolumesFrom"] = _living(engine, host.get("VolumesFrom"))
    config = config_of(old)
    if host.get("NetworkMode") == "host" and config.get("Hostname") == system.info(engine).get("Name"):
        config.pop("Hostname", None)  # the engine took the host's
    per_endpoint = engine.supports(*MANY_NETWORKS)
    if per_endpoint:
        config.pop("MacAddress", None)
    body = {**config, "HostConfig": host}
    endpoints = endpoints_of(old, per_endpoint=per_endpoint)
    return CreateRequest(body, endpoints, image_id=str(old.get("Image") or ""), files=put_into(old))


def config_of(old: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's ContainerConfig, without what the engine made up itself and what it refuses to be told."""
    config = dict(old.get("Config") or {})
    host = old.get("HostConfig") or {}
    mode = str(host.get("NetworkMode") or "")
    if config.get("Hostname") == str(old.get("Id"))[:12]:
        config.pop("Hostname", None)
    if mode.startswith("container:") or host.get("UTSMode") == "host":
        config.pop("Hostname", None)  # it is the other's
        config.pop("Domainname", None)
    if mode.startswith("container:"):
        config.pop("ExposedPorts", None)  # the image's: nobody else could have exposed any
    if not config.get("MacAddress"):
        config.pop("MacAddress", None)
    return config


def host_config_of(old: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's HostConfig, with anonymous volumes by name and links in the form that a create takes."""
    host = dict(old.get("HostConfig") or {})
    if host.get("Links"):
        host["Links"] = [_link(link) for link in host["Links"]]
    return mounts.pin(host, old.get("Mounts") or ())


def endpoints_of(old: Mapping[str, Any], *, per_endpoint: bool) -> Optional[dict[str, dict[str, Any]]]:
    """{network: EndpointSettings} as they were asked for; None where the container has no networks of its own.

    `per_endpoint` says that a create takes them all, a MAC address each (API 1.44).
    """
    mode = str((old.get("HostConfig") or {}).get("NetworkMode") or "")
    if not network_of_mode(mode):
        return None
    networks = (old.get("NetworkSettings") or {}).get("Networks") or {}
    endpoints = {}
    for name, shown in networks.items():
        endpoint = {key: value for key, value in (shown or {}).items() if key not in OPERATIONAL and value}
        aliases = [alias for alias in endpoint.pop("Aliases", None) or () if alias != str(old.get("Id"))[:12]]
        if aliases:
            endpoint["Aliases"] = aliases
        mac = _chosen_mac(old, name, shown or {}) if per_endpoint else ""
        if mac:
            endpoint["MacAddress"] = mac
        endpoints[name] = endpoint
    return endpoints


def _chosen_mac(old: Mapping[str, Any], name: str, endpoint: Mapping[str, Any]) -> str:
    """The MAC address that somebody chose, "" for one that the engine made.

    Docker shows both alike, but repeats a chosen one of the NetworkMode's network in Config (moby issue 48168). In
    other networks one that follows from the IP address is the engine's: kept, it would meet the next owner of that
    address. Engines from 28 on draw theirs at random; those cannot be told from chosen ones, and are harmless to keep.
    """
    mode = str((old.get("HostConfig") or {}).get("NetworkMode") or "")
    if is_network(mode, name, endpoint):
        return str((old.get("Config") or {}).get("MacAddress") or "")
    mac = str(endpoint.get("MacAddress") or "").lower()
    parts = str(endpoint.get("IPAddress") or "").split(".")
    made = "02:42:" + ":".join(f"{int(part):02x}" for part in parts) if len(parts) == 4 else ""
    return "" if mac == made else mac


def _link(link: str) -> str:
    """Inspect says `/db:/web/alias`, a create wants `db:alias`."""
    source, _, alias = link.partition(":")
    return f"{source.lstrip('/')}:{alias.rpartition('/')[2]}" if alias else source


def _living(engine: Engine, sources: Optional[list[str]]) -> Optional[list[str]]:
    """Of VolumesFrom, the containers that are still there; the volumes of the others are mounted by name as well."""
    return [source for source in sources if _exists(engine, source.partition(":")[0])] if sources else sources


def _exists(engine: Engine, container: str) -> bool:
    try:
        containers.inspect(engine, container)
    except NotFound:
        return False
    return True
