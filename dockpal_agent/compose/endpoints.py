"""A service's networks as a create and a connect take them: EndpointSettings by network.

Coverage 4; docker compose's pkg/compose/create.go, defaultNetworkSettings and createEndpointSettings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from dockpal_agent.compose.project import Entry

__all__ = ["by_priority", "chosen_mac", "endpoints", "link_texts"]


def by_priority(entry: Entry) -> list[str]:
    """The keys of a service's networks: highest `priority` first, then by name."""
    networks: Mapping[str, Optional[Entry]] = entry.get("networks") or {}
    return sorted(networks, key=lambda key: (-((networks[key] or {}).get("priority", 0)), key))


def endpoints(
    service: str,
    entry: Entry,
    container_name: str,
    networks: Mapping[str, str],
    links: Sequence[str],
    version: tuple[int, int],
) -> dict[str, dict[str, Any]]:
    """{Docker's name of the network: EndpointSettings}, the first being the container's main one."""
    given: Mapping[str, Optional[Entry]] = entry.get("networks") or {}
    found = {}
    for key in by_priority(entry):
        found[networks[key]] = _endpoint(service, given[key], container_name, links, version)
    first = next(iter(found), None)
    if first is not None and entry.get("mac_address") and version >= (1, 44):
        found[first].setdefault("MacAddress", entry["mac_address"])
    return found


def chosen_mac(entry: Entry) -> str:
    """The MAC address of the whole container, as APIs before 1.44 take it."""
    keys = by_priority(entry)
    main: Entry = ((entry.get("networks") or {}).get(keys[0]) or {}) if keys else {}
    return str(entry.get("mac_address") or main.get("mac_address") or "")


def link_texts(
    project: str, entry: Entry, number: int, names: Mapping[str, Sequence[str]], targets: Mapping[str, str]
) -> list[str]:
    """`container:alias` for each link. `names` are the containers of each service; `targets` what to call one by.

    Docker Compose gives each of them three aliases, two with the number of the container that links (coverage 2).
    """
    found = []
    for link in entry.get("links", ()):
        service, colon, alias = link.partition(":")
        aliases = [alias if colon else service, f"{service}-{number}", f"{project}-{service}-{number}"]
        for name in names.get(service, ()):
            found += [f"{targets.get(name, name)}:{text}" for text in aliases]
    for link in entry.get("external_links", ()):
        container, colon, alias = link.partition(":")
        found.append(f"{container}:{alias if colon else container}")
    return found


def _endpoint(
    service: str, said: Optional[Entry], container_name: str, links: Sequence[str], version: tuple[int, int]
) -> dict[str, Any]:
    given = said or {}
    endpoint: dict[str, Any] = {"Aliases": [container_name, service, *given.get("aliases", ())]}
    addresses = {
        "IPv4Address": given.get("ipv4_address"),
        "IPv6Address": given.get("ipv6_address"),
        "LinkLocalIPs": given.get("link_local_ips"),
    }
    addresses = {name: value for name, value in addresses.items() if value}
    if said is not None:
        endpoint["IPAMConfig"] = addresses
    if links:
        endpoint["Links"] = list(links)
    if given.get("mac_address") and version >= (1, 44):
        endpoint["MacAddress"] = given["mac_address"]
    options = dict(given.get("driver_opts") or {})
    if given.get("interface_name") and version >= (1, 49):
        options["com.docker.network.endpoint.ifname"] = given["interface_name"]
    if options:
        endpoint["DriverOpts"] = options
    if given.get("gw_priority") and version >= (1, 48):
        endpoint["GwPriority"] = given["gw_priority"]
    return endpoint
