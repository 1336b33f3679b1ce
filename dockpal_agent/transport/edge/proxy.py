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
    """An HTTP proxy. `credentials` is `user:password` or ""; it is never logged. `variable` names it."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)
    variable: str = field(default="HTTPS_PROXY", compare=False)


def proxy_for(address: Address, environ: Mapping[str, str]) -> Optional[Proxy]:
    """The proxy to take for `address`, None for a direct connection. Raises ProxyFailed for one that we cannot use."""
    variable = "https_proxy" if address.secure else "http_proxy"
    text = environ.get(variable) or environ.get(variable.upper()) or ""
    if not text.strip() or _excepted(address, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    proxy = _read(text.strip(), variable.upper())
    if proxy is None:
        raise ProxyFailed(
            f"{variable.upper()} must be an address like http://proxy.example.com:3128, with user:password@ before"
            " the name where it wants them, special characters percent-encoded (@ is %40, [ is %5B)"
        )
    return proxy


def _read(text: str, variable: str) -> Optional[Proxy]:
    """The proxy, None where `text` is none that we can use: it may hold a password, so nothing of it is repeated."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:  # what is no port, brackets that do not fit
        return None
    if parts.scheme != "http" or not host or not host.isascii():
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(host, port, f"{user}:{password}" if user else "", variable)


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
