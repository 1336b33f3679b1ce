"""The Server's address, in every form that people and installers write it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

__all__ = ["CONNECT_PATH", "Address"]

CONNECT_PATH: Final = "/api/agent/connect"
_SECURE: Final = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True)
class Address:
    """Where the line goes. `host` is lower-case ASCII, IPv6 without brackets; `path` ends in CONNECT_PATH."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `ws://`, `wss://`, `http://` or `https://`, with or without the path at its end.

        A query or fragment is dropped: the token goes into the first message only. Raises ValueError.
        """
        shown = text.partition("?")[0].rpartition("@")[2]  # no query and no password: they may be secrets
        parts = urlsplit(text.strip())
        if parts.scheme not in _SECURE or not parts.hostname:
            raise ValueError(f"not a ws:// or wss:// address: {shown!r}")
        secure = _SECURE[parts.scheme]
        path = parts.path.rstrip("/")
        if not path.endswith(CONNECT_PATH):
            path += CONNECT_PATH
        if not path.isascii() or any(character <= " " for character in path):
            raise ValueError(f"the path of the address must be percent-encoded: {shown!r}")
        return cls(secure, _ascii_host(parts.hostname), parts.port or (443 if secure else 80), path)

    @property
    def authority(self) -> str:
        """The Host field. The port is left out where it is the scheme's own (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The Origin field: the Server takes no other than its own Host, character for character (protocol 7.1)."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    @property
    def url(self) -> str:
        """The WebSocket URL."""
        return f"{self.base}{self.path}"

    @property
    def base(self) -> str:
        """Scheme, host and port, for people."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}"


def _ascii_host(host: str) -> str:
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    if host.isascii():
        if any(character <= " " or character == "\x7f" for character in host):
            raise ValueError(f"not a host name: {host!r}")
        return host.lower()
    return host.encode("idna").decode("ascii").lower()
