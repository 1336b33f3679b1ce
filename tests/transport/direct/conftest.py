"""A running server of direct mode, plain or TLS, and clients that look at bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Callable, Optional

import pytest

from dockpal_agent.config import Listen
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.server import DirectServer
from tests.transport.direct.service import Service

DEFAULT = Limits()
HASTY = Limits(
    handshake=1.0, head=1.0, idle=0.5, stall=1.0, body_grace=1.0, send=1.0, drain=0.5,
    ping=0.4, pong=0.4, comment=0.3, closing=1.0, poll=0.05, refusal=1.0,
)  # fmt: skip


class Client:
    """A client that sends what it is told, byte by byte if need be, and gives back what came."""

    def __init__(self, port: int, *, tls: bool = False, address: str = "127.0.0.1") -> None:
        raw = socket.create_connection((address, port), timeout=10)
        self.socket: socket.socket = trusting().wrap_socket(raw) if tls else raw

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`; raises when the connection ends first."""
        data = b""
        while not data.endswith(end):
            byte = self.socket.recv(1)
            if not byte:
                raise EOFError(data)
            data += byte
        return data

    def until_bytes(self, count: int) -> bytes:
        """The next `count` bytes; raises when the connection ends first."""
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError(data)
            data += part
        return data

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as an end."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while part := self.socket.recv(65536):
                data += part
        return data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, fields (names lower-case) and body of the next answer with a Content-Length."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = b""
        while len(body) < int(fields.get("content-length", "0")):
            part = self.socket.recv(int(fields["content-length"]) - len(body))
            assert part, "the body broke off"
            body += part
        return int(head[0].split()[1]), fields, body

    def get(self, target: str = "/ping", *fields: str) -> tuple[int, dict[str, str], bytes]:
        self.send(get(target, *fields))
        return self.answer()

    def is_closed_within(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        self.socket.close()


def get(target: str = "/ping", *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: agent", *fields, "", ""]).encode("latin-1")


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def wait_for(state: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until `state` holds; fail when it does not come."""
    deadline = time.monotonic() + within
    while not state():
        assert time.monotonic() < deadline, "the state did not come"
        time.sleep(0.01)


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
