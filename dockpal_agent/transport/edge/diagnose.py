"""What `doctor` says of the line: each step on the way to the Server, tried by itself, and which one failed.

The token is not sent: the Server would take the newcomer for this agent's line and close the one that serves.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Final, Optional

from dockpal_agent.transport.edge.address import Address
from dockpal_agent.transport.edge.dial import Resolved, Trust, connect, named_by, resolve, secure, tunnel, upgrade
from dockpal_agent.transport.edge.errors import LineError
from dockpal_agent.transport.edge.proxy import Proxy, proxy_for

__all__ = ["Check", "diagnose"]

WITHIN: Final = 15.0  # seconds for all steps together
CLOSE_WITHIN: Final = 1.0  # seconds


@dataclass(frozen=True)
class Check:
    """One step: what was found, and what to do where the text does not say it already."""

    name: str
    ok: bool
    text: str
    remedy: str = ""


def diagnose(
    server: str,
    *,
    ca_file: Optional[Path] = None,
    verify: bool = True,
    environ: Mapping[str, str] = os.environ,
    within: float = WITHIN,
) -> Iterator[Check]:
    """Address, proxy where there is one, name, TCP, TLS, upgrade, in this order; the first that fails is the last."""
    try:
        address = Address.parse(server)
    except ValueError as error:
        yield Check("address", False, str(error), "write DOCKPAL_EDGE_SERVER like wss://dockpal.example.com:3012")
        return
    yield Check("address", True, address.url)
    way = _Way(address, Trust(ca_file, verify), environ, time.monotonic() + within)
    try:
        for name, step in way.steps:
            try:
                found = step()
            except LineError as error:
                yield Check(name, False, str(error))
                return
            if found:
                yield Check(name, True, found)
    finally:
        way.close()


class _Way:
    """The way to the Server, as far as it has been gone. Each step says what it found, "" where there is none."""

    def __init__(self, address: Address, trust: Trust, environ: Mapping[str, str], until: float) -> None:
        self._address: Final = address
        self._trust: Final = trust
        self._environ: Final = environ
        self._until: Final = until
        self._proxy: Optional[Proxy] = None
        self._found: Resolved = ()
        self._sock: Optional[socket.socket] = None
        self.steps: Final[tuple[tuple[str, Callable[[], str]], ...]] = (
            ("proxy", self._choose_proxy),
            ("name", self._resolve),
            ("tcp", self._connect),
            ("tunnel", self._tunnel),
            ("tls", self._secure),
            ("upgrade", self._upgrade),
        )

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def _choose_proxy(self) -> str:
        self._proxy = proxy_for(self._address, self._environ)
        return "" if self._proxy is None else f"{self._proxy.host}:{self._proxy.port}, from the environment"

    def _resolve(self) -> str:
        host, port = self._next_hop()
        self._found = resolve(host, port) if self._proxy is None else resolve(host, port, self._proxy.variable)
        return f"{host} is {', '.join(dict.fromkeys(str(entry[4][0]) for entry in self._found))}"

    def _connect(self) -> str:
        self._sock = connect(self._found, self._until, peer=named_by(self._proxy))
        return f"connected to {self._sock.getpeername()[0]} port {self._next_hop()[1]}"

    def _tunnel(self) -> str:
        if self._proxy is None or self._sock is None:
            return ""
        tunnel(self._sock, self._address, self._proxy, self._until)
        return f"the proxy connects to {self._address.authority}"

    def _secure(self) -> str:
        if not self._address.secure or self._sock is None:
            return ""
        tls = secure(self._sock, self._address, self._trust, self._until, reach_again=self._reach_again)
        self._sock = tls
        return f"{tls.version()}, the certificate is {'trusted' if self._trust.verify else 'NOT verified'}"

    def _reach_again(self) -> socket.socket:
        sock = connect(self._found, self._until, peer=named_by(self._proxy))
        try:
            if self._proxy is not None:
                tunnel(sock, self._address, self._proxy, self._until)
        except BaseException:
            sock.close()
            raise
        return sock

    def _upgrade(self) -> str:
        if self._sock is None:
            return ""
        connection = upgrade(self._sock, self._address, self._until, patience=CLOSE_WITHIN)
        try:
            connection.send_close(1000, CLOSE_WITHIN)
        finally:
            connection.release()
        return f"the Server takes the line (Origin {self._address.origin}); the token was not tried"

    def _next_hop(self) -> tuple[str, int]:
        hop = self._address if self._proxy is None else self._proxy
        return hop.host, hop.port
