"""A line between the agent's edge and the stand-in, with short bounds; every test ends with no thread left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.line import EdgeLine, EdgeSettings
from tests.server_standin.server import StandIn, wait_until
from tests.transport.edge.toy import ToyService

TOKEN = "secret-token"

Starter = Callable[..., EdgeLine]


@pytest.fixture
def service() -> ToyService:
    return ToyService()


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn(TOKEN) as standin:
        yield standin


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def start(service: ToyService, tmp_path: Path) -> Iterator[Starter]:
    """Starts lines to `server`, which is an address or a port; keywords are settings, or limits."""
    lines: list[EdgeLine] = []

    def begin(server: Any, **given: Any) -> EdgeLine:
        limits = {name: given.pop(name) for name in list(given) if name in Limits.__dataclass_fields__}
        backoff = given.pop("backoff", None)
        address = server if isinstance(server, str) else f"ws://127.0.0.1:{server}"
        settings = EdgeSettings(address, (TOKEN,), tmp_path / "state", "0.1.0", reconnect=0.1, heartbeat=5.0)
        settings = replace(settings, limits=replace(Limits(close=1.0), **limits), **given)
        line = EdgeLine(service, settings, backoff)
        lines.append(line)
        line.start()
        return line

    yield begin
    for line in lines:
        line.stop(5.0)
    wait_until(lambda: not left_over(), "every thread of the line has ended", within=30.0)


def left_over() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edge-")]
