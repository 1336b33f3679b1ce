"""The fixtures that every test may ask for. Where no real engine answers, a test fails; it never skips."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.engines.daemon import Daemon
from tests.engines.images import ensure_busybox, ensure_scratch
from tools import engines
from tools.engines import NewEngine

if TYPE_CHECKING:
    from dockpal_agent.engine import Engine

__all__ = [
    "busybox",
    "daemon",
    "docker_compose",
    "docker_socket",
    "engine",
    "labels",
    "new_engine",
    "new_engine_from_1_44",
    "new_socket",
    "scratch_image",
    "unique",
]

OFFERED: Final = {"old": "", "new": "new_engine", "new-from-1.44": "new_engine_from_1_44"}  # id → fixture
SESSION: Final = uuid.uuid4().hex[:8]  # names this run in labels and names, so that runs side by side do not meet


@pytest.fixture(scope="session")
def new_engine() -> Iterator[NewEngine]:
    """Debian sid's engine (28.5 or later), started for this run."""
    with engines.new_engine() as started:
        yield started


@pytest.fixture(scope="session")
def new_engine_from_1_44() -> Iterator[NewEngine]:
    """The same engine, refusing API versions below 1.44 as 29 does."""
    with engines.new_engine({"DOCKER_MIN_API_VERSION": "1.44"}) as started:
        yield started


@pytest.fixture(scope="session")
def new_socket(new_engine: NewEngine) -> str:
    """The path of the newer engine's socket."""
    return new_engine.socket


@pytest.fixture(scope="session")
def docker_compose() -> Path:
    """The docker compose program, to compare with."""
    engines.unpack_new()
    return engines.docker_compose()


def pytest_report_header() -> list[str]:
    """Which engines this run meets."""
    socket = os.environ.get("DOCKPAL_TEST_SOCKET", "/var/run/docker.sock")
    if not Daemon(socket).answers():
        return [f"engine: none answers at {socket}"]
    version = Daemon(socket, "").call("GET", "/version")
    return [f"engines: {version['Version']}, API {version['ApiVersion']}, at {socket}; {engines.new_packages()}"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks a real engine, before `-m` chooses."""
    for item in items:
        if "docker_socket" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `engines` runs once for every engine, or for those that the mark names: its `docker_socket` and all
    that stands on it.
    """
    mark = metafunc.definition.get_closest_marker("engines")
    if mark is not None and "docker_socket" in metafunc.fixturenames:
        metafunc.parametrize("docker_socket", list(mark.args or OFFERED), indirect=True, scope="session")


@pytest.fixture(scope="session")
def docker_socket(request: pytest.FixtureRequest) -> str:
    """The engine's socket: DOCKPAL_TEST_SOCKET, else Docker's own; under the mark `engines`, each in turn."""
    offered = OFFERED[getattr(request, "param", "old")]
    if offered:
        started: NewEngine = request.getfixturevalue(offered)
        return started.socket
    path = os.environ.get("DOCKPAL_TEST_SOCKET", "/var/run/docker.sock")
    if not Daemon(path).answers():
        pytest.fail(f"no Docker Engine answers at {path}; `make test` starts one", pytrace=False)
    return path


@pytest.fixture
def daemon(docker_socket: str) -> Daemon:
    """The engine as tests look at it, with no code of the agent between."""
    return Daemon.at(docker_socket)


@pytest.fixture
def engine(docker_socket: str) -> Iterator[Engine]:
    """The agent's own client of the engine."""
    from dockpal_agent.engine import Engine

    client = Engine(docker_socket)
    yield client
    client.close()


@pytest.fixture
def busybox(daemon: Daemon) -> str:
    """The reference of an image with a shell and the usual programs."""
    return ensure_busybox(daemon)


@pytest.fixture
def scratch_image(daemon: Daemon) -> str:
    """The reference of an image of one static program that sleeps: no shell."""
    return ensure_scratch(daemon)


@pytest.fixture
def labels() -> dict[str, str]:
    """Labels for what a test makes; the end of the test removes everything that bears them (`unique` does)."""
    return {"dockpal.test": SESSION}


@pytest.fixture
def unique(daemon: Daemon, labels: dict[str, str]) -> Iterator[str]:
    """A prefix for the names of this test, fit for a Compose project too (`t1a2b3c4d-5e6f`).

    What starts with it, or bears the labels, is removed at the end: containers, networks and volumes.
    """
    prefix = f"t{SESSION}-{uuid.uuid4().hex[:4]}"
    yield prefix
    daemon.clean(prefix, f"dockpal.test={SESSION}")
