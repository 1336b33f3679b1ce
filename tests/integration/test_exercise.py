"""What `make bench` lets an agent do before its memory is looked at: every call, and each as it should answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.agents import TOKEN
from bench.exercise import CALLS_LEFT_OUT, exercise
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Router
from dockpal_agent.api.routes import ALIASES, ROUTES
from dockpal_agent.api.service import Service
from dockpal_agent.config import Config, Listen
from dockpal_agent.house import house
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.server import DirectServer
from tests.engines.daemon import Daemon


class Noted:
    """The service, and which rows of the table were called."""

    def __init__(self, service: Service[Agent]) -> None:
        self._service = service
        self._router = Router(ROUTES, ALIASES)
        self.seen: set[tuple[str, str]] = set()

    def answer(self, request: Request) -> Response:
        route = self._router.match(request).route
        self.seen.add((route.method, route.pattern))
        return self._service.answer(request)

    def failure(self, error: Exception) -> Json:
        return self._service.failure(error)


@pytest.mark.slow
def test_every_call_is_used_and_answers_as_it_should(
    docker_socket: str, daemon: Daemon, busybox: str, unique: str, tmp_path: Path
) -> None:
    web = daemon.run(busybox, "sleep", "1000", name=f"{unique}-one", StopTimeout=0)
    config = Config(mode="direct", tokens=(TOKEN,), data_dir=tmp_path, docker_socket=docker_socket)
    with house(config) as service:
        noted = Noted(service)
        server = DirectServer(noted, [Listen("127.0.0.1", 0)], tls=Certificate.load_or_create(tmp_path / "certs"))
        server.start()
        try:
            assert exercise(server.port, web, f"{unique}-app") == []
        finally:
            server.stop(5)

    assert {(route.method, route.pattern) for route in ROUTES} - noted.seen == CALLS_LEFT_OUT
