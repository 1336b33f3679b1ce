"""The short form of a published port: `[[ip:][host]:]container[/protocol]`, ranges included.

Compose Specification, ports; docker/go-connections nat.ParsePortSpec, with its words.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple, Optional

from dockpal_agent.compose.tree import Value

__all__ = ["is_address", "parse_port"]

_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_PROTOCOLS: Final = ("tcp", "udp", "sctp")


class _Range(NamedTuple):
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first


def parse_port(text: str) -> list[Value]:
    """The long form of each port that a short one stands for, in Compose's order. Raises ValueError."""
    address, published, target = _split(text)
    protocol, target = _protocol(target)
    address = _address(address)
    if not target:
        raise ValueError(f"No port specified: {text}<empty>")
    targets = _range(target)
    if targets is None:
        raise ValueError(f"Invalid containerPort: {target}")
    sources = _range(published) if published else _Range(0, 0)
    if sources is None:
        raise ValueError(f"Invalid hostPort: {published}")
    if published and targets.length not in (0, sources.length):
        raise ValueError(f"Invalid ranges specified for container and host Ports: {target} and {published}")
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"Invalid proto: {protocol}")
    spread = targets.length == 0 and sources.length > 0  # one port of several on the host: the engine picks
    made = []
    for offset in range(targets.length + 1):
        host = f"{sources.first}-{sources.last}" if spread else str(sources.first + offset)
        made.append(_long(address, host if published else "", targets.first + offset, protocol.lower()))
    return sorted(made, key=lambda port: str(port.get("target", 0)))


def _long(address: str, published: str, target: int, protocol: str) -> Value:
    port: Value = {"mode": "ingress"}
    if address:
        port["host_ip"] = address
    if target:
        port["target"] = target
    if published:
        port["published"] = published
    return {**port, "protocol": protocol}


def _split(text: str) -> tuple[str, str, str]:
    """Address, published and target; what has more colons than three parts is all address."""
    *before, target = text.split(":")
    if len(before) < 2:
        return "", "".join(before), target
    return ":".join(before[:-1]), before[-1], target


def _protocol(target: str) -> tuple[str, str]:
    port, _, rest = target.partition("/")
    protocol = rest.split("/", 1)[0]
    return (protocol or "tcp", port) if port else ("", "")


def _address(text: str) -> str:
    """An address without its brackets; IPv6 must have them."""
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1]
    elif ":" in text:
        raise ValueError(f"Invalid ip address {text}: address {text}:: too many colons in address")
    else:
        inner = text
    if inner and not is_address(inner):
        raise ValueError(f"Invalid ip address: {inner}")
    return inner


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address without a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _range(text: str) -> Optional[_Range]:
    first, dash, rest = text.partition("-")
    last = rest.split("-", 1)[0] if dash else first
    if not (_NUMBER.fullmatch(first) and _NUMBER.fullmatch(last)):
        return None
    found = _Range(int(first), int(last))
    return found if found.first <= found.last < 65536 else None
