"""The fixtures that every test may ask for. Where no real engine answers, a test fails; it never skips."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from tests.engines.daemon import Daemon
from tests.engines.images import ensure_busybox, ensure_scratch

if TYPE_CHECKING:
    from dockpal_agent.engine import Engine

__all__ = ["busybox", "daemon", "docker_socket", "engine", "labels", "scratch_image", "unique"]

SESSION: Final = uuid.uuid4().hex[:8]  # names this run in labels and names, so that runs side by side do not meet


@pytest.fixture(scope="session")
def docker_socket() -> str:
    """The path of the engine's socket: DOCKPAL_TEST_SOCKET, else Docker's own."""
    path = os.environ.get("DOCKPAL_TEST_SOCKET", "/var/run/docker.sock")
    if not Daemon(path).answers():
        pytest.fail(f"no Docker Engine answers at {path}; `make test` starts one", pytrace=False)
    return path


@pytest.fixture
def daemon(docker_socket: str) -> Daemon:
    """The engine as tests look at it, with no code of the agent between."""
    return Daemon(docker_socket)


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
