"""What `doctor` says of the line: each step on the way to the Server, tried by itself, and which one failed.

The token is not sent: the Server would take the newcomer for this agent's line and close the one that serves.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.dial import Trust, connect, resolve, secure, tunnel, upgrade
from dockpal_agent.transport.edge.errors import LineError
from dockpal_agent.transport.edge.proxy import proxy_for

__all__ = ["Check", "diagnose"]

WITHIN: Final = 15.0  # seconds for all steps together
CLOSE_WITHIN: Final = 1.0  # seconds


@dataclass(frozen=True)
class Check:
    """One step. `text` says what was found, or what to do."""

    name: str
    ok: bool
    text: str


def diagnose(server: str, trust: Trust, environ: Mapping[str, str], within: float = WITHIN) -> Iterator[Check]:
    """Address, proxy where there is one, name, TCP, TLS, upgrade, in this order; the first that fails is the last."""
    try:
        address = Address.parse(server)
    except ValueError as error:
        yield Check("address", False, str(error))
        return
    yield Check("address", True, address.url)
    step = "proxy"
    sock: socket.socket
    until = time.monotonic() + within
    try:
        proxy = proxy_for(address, environ)
        host, port = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
        step = "name"
        found = resolve(host, port)
        yield Check(step, True, f"{host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in found))}")
        step = "tcp"
        sock = connect(found, until)
        try:
            yield Check(step, True, f"connected to {sock.getpeername()[0]} port {port}")
            if proxy is not None:
                step = "proxy"
                tunnel(sock, address, proxy, until)
                yield Check(step, True, f"{proxy.host}:{proxy.port} connects to {address.authority}")
            if address.secure:
                step = "tls"
                tls = secure(sock, address, trust, until)
                sock = tls
                trusted = "its certificate is trusted" if trust.verify else "its certificate is not verified"
                yield Check(step, True, f"{tls.version()}, {trusted}")
            step = "upgrade"
            connection = upgrade(sock, address, until, patience=CLOSE_WITHIN)
            try:
                connection.send_close(1000, CLOSE_WITHIN)
            finally:
                connection.release()
            yield Check(step, True, f"the Server takes the line (Origin {address.origin}); the token was not tried")
        finally:
            sock.close()
    except LineError as error:
        yield Check(step, False, str(error))
