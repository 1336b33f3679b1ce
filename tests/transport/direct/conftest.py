"""A running server of direct mode, plain or TLS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Callable, Optional

import pytest

from dockpal_agent.config import Listen
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.server import DirectServer
from tests.transport.direct.client import Client
from tests.transport.direct.service import Service

DEFAULT = Limits()
HASTY = Limits(
    handshake=1.0, head=1.0, idle=0.5, stall=1.0, body_grace=1.0, send=1.0, drain=0.5,
    ping=0.4, pong=0.4, comment=0.3, closing=1.0, poll=0.05, refusal=1.0,
)  # fmt: skip


class Running:
    """A server, its service, and as many clients as a test wants."""

    def __init__(self, server: DirectServer, service: Service, *, tls: bool) -> None:
        self.server = server
        self.service = service
        self.tls = tls
        self._clients = contextlib.ExitStack()

    def client(self, *, tls: Optional[bool] = None, address: str = "127.0.0.1") -> Client:
        client = Client(self.server.port, tls=self.tls if tls is None else tls, address=address)
        self._clients.callback(client.close)
        return client

    def close(self) -> None:
        self.service.gate.set()
        self._clients.close()
        self.server.stop(5.0)


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.load_or_create(tmp_path_factory.mktemp("certs") / "certs")


@pytest.fixture
def start(certificate: Certificate) -> Iterator[Start]:
    """Start servers: `start(tls=True, limits=…, most=…, host=…)`. All are stopped in the end."""
    with contextlib.ExitStack() as stack:

        def start_one(
            *, tls: bool = False, limits: Limits = DEFAULT, most: int = 64, host: str = "127.0.0.1"
        ) -> Running:
            service = Service()
            used = certificate if tls else None
            server = DirectServer(service, [Listen(host, 0)], tls=used, max_connections=most, limits=limits)
            server.start()
            running = Running(server, service, tls=tls)
            stack.callback(running.close)
            return running

        yield start_one


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def running(request: pytest.FixtureRequest, start: Start) -> Running:
    """A server over plain TCP, and again over TLS."""
    return start(tls=request.param)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def hasty(request: pytest.FixtureRequest, start: Start) -> Running:
    """The same with limits that a test can wait for."""
    return start(tls=request.param, limits=HASTY)


@pytest.fixture
def plain(start: Start) -> Running:
    """A server over plain TCP."""
    return start()
