"""Listening sockets: `:9273` is IPv6 and IPv4 in one where the machine has IPv6, else IPv4."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Union

from dockpal_agent.config import Listen

__all__ = ["bind"]


def bind(address: Listen, backlog: int) -> socket.socket:
    """A listening, non-blocking socket. Raises OSError with a text that names the address."""
    if address.host in ("", "::"):
        with contextlib.suppress(OSError):
            return _open(socket.AF_INET6, ("::", address.port), backlog, both=True)
        if address.host == "":
            return _named(socket.AF_INET, ("0.0.0.0", address.port), backlog)
    try:
        family, _, _, _, resolved = socket.getaddrinfo(
            _encoded(address.host), address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise OSError(f"cannot listen on {_text(address.host, address.port)}: {error.strerror}") from error
    return _named(socket.AddressFamily(family), resolved, backlog)


def _encoded(host: str) -> Union[str, bytes]:
    """ASCII as it is: for text, Python loads the tables of internationalized names, 0.3 MB."""
    return host.encode("ascii") if host.isascii() else host


def _named(family: socket.AddressFamily, resolved: tuple[Any, ...], backlog: int) -> socket.socket:
    try:
        return _open(family, resolved, backlog)
    except OSError as error:
        text = f"cannot listen on {_text(resolved[0], resolved[1])}: {error.strerror or error}"
        raise OSError(error.errno, text) from error


def _open(
    family: socket.AddressFamily, resolved: tuple[Any, ...], backlog: int, *, both: bool = False
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        listener.bind(resolved)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
