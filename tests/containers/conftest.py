"""The container rooms against a real engine, through a proxy that counts calls and can break them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.engine import Engine
from tests.faults.proxy import FaultProxy


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    """The engine, with a way to count its calls and to break them."""
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: FaultProxy) -> Iterator[Engine]:
    """The agent's client, through the proxy."""
    client = Engine(proxy.socket_path)
    yield client
    client.close()


@pytest.fixture
def feed(proxied: Engine) -> Iterator[EventFeed]:
    """Docker's events through the proxy; the test starts it once its subscribers are there."""
    feed = EventFeed(proxied)
    yield feed
    feed.stop()
