"""The proxy that the environment names, if any: HTTPS_PROXY for wss, HTTP_PROXY for ws, NO_PROXY for exceptions."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import unquote, urlsplit

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.errors import ProxyFailed

__all__ = ["Proxy", "proxy_for"]


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. `credentials` is `user:password` or ""; it is never logged."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)


def proxy_for(address: Address, environ: Mapping[str, str]) -> Optional[Proxy]:
    """The proxy to take for `address`, None for a direct connection. Raises ProxyFailed for one that we cannot use."""
    variable = "https_proxy" if address.secure else "http_proxy"
    text = environ.get(variable) or environ.get(variable.upper()) or ""
    if not text.strip() or _excepted(address, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    parts = urlsplit(text.strip() if "://" in text else f"http://{text.strip()}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise ProxyFailed(f"{variable.upper()} must be an address like http://proxy.example.com:3128")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(parts.hostname, port, f"{user}:{password}" if user else "")


def _excepted(address: Address, exceptions: str) -> bool:
    """Whether NO_PROXY names `address`: `*`, a name and all below it, an IP address or network, maybe with `:port`."""
    return any(_fits(address, entry.strip().lower()) for entry in exceptions.split(","))


def _fits(address: Address, entry: str) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != address.port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        return ipaddress.ip_address(address.host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # one of them is a name
    domain = entry.lstrip("*").lstrip(".")
    return bool(domain) and (address.host == domain or address.host.endswith("." + domain))
