"""Clients that hold connections without using them, and a server without descriptors left."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Callable

import pytest

from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.limits import Limits
from tests.transport.direct.client import get, trusting, wait_for
from tests.transport.direct.process import Process

LIMITS = Limits()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.load_or_create(tmp_path_factory.mktemp("certs") / "certs")


@pytest.fixture
def agent(certificate: Certificate) -> Iterator[Process]:
    process = Process(certificate.directory)
    yield process
    process.close()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(agent: Process, clients: ExitStack, count: int) -> list[socket.socket]:
    address = ("127.0.0.1", agent.port)
    return [clients.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)]


def ping(port: int) -> float:
    """Seconds that one ping on a new TLS connection takes."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, trusting().wrap_socket(raw) as client:
        client.sendall(get("/ping", "Connection: close"))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    return time.perf_counter() - began


def assert_not_slowed(before: float, during: Callable[[], float]) -> None:
    """The median of pings is at most twice what it was; the machine may be busy with others, so three tries."""
    assert any(during() <= 2 * before for _ in range(3))


def median(port: int) -> float:
    return statistics.median(ping(port) for _ in range(40))


def wait_closed(connections: list[socket.socket], within: float) -> None:
    deadline = time.monotonic() + within
    for connection in connections:
        connection.settimeout(max(deadline - time.monotonic(), 0.1))
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass


@pytest.mark.slow
def test_connections_that_never_shake_hands_or_send_a_byte_a_second_slow_nobody_and_are_closed(
    agent: Process, clients: ExitStack
) -> None:
    before = median(agent.port)
    threads = agent.threads()
    idle = connected(agent, clients, 200)
    slow: list[ssl.SSLSocket] = [
        clients.enter_context(trusting().wrap_socket(raw)) for raw in connected(agent, clients, 50)
    ]

    deadline = time.monotonic() + LIMITS.head - 2
    text = get("/ping", "X: " + "a" * 100)
    for byte in range(int(LIMITS.head) - 3):
        second = time.monotonic() + 1
        for client in slow:
            client.sendall(text[byte : byte + 1])
        if byte == 1:
            assert_not_slowed(before, lambda: median(agent.port))
        while time.monotonic() < min(second, deadline):
            ping(agent.port)

    wait_closed(idle, LIMITS.handshake + 5)
    wait_closed(list(slow), LIMITS.head + LIMITS.drain + 5)
    wait_for(lambda: agent.threads() <= threads, within=10)


def test_more_idle_connections_than_there_are_places_do_not_lock_others_out(agent: Process, clients: ExitStack) -> None:
    connected(agent, clients, 600)
    wait_for(lambda: _answers(agent.port), within=10)


def _answers(port: int) -> bool:
    try:
        ping(port)
    except (OSError, AssertionError):
        return False
    return True


def test_without_descriptors_left_the_server_neither_dies_nor_spins_and_comes_back(
    certificate: Certificate, clients: ExitStack
) -> None:
    agent = Process(certificate.directory, descriptors=40)
    clients.callback(agent.close)
    connected(agent, clients, 120)
    wait_for(lambda: agent.descriptors() >= 40)

    began, cpu = time.monotonic(), agent.cpu()
    wait_for(lambda: _answers(agent.port), within=30)
    assert agent.cpu() - cpu <= 0.5 * (time.monotonic() - began) + 0.5
