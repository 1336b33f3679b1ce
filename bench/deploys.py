"""Deploys beside `docker compose up -d` of the same file: twenty services, for the first time and unchanged.

And how long hostile files take to be refused.
"""

from __future__ import annotations

import os
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Final

from bench.agents import Agent, Client
from tests.api.test_deploy import HOSTILE
from tests.engines.daemon import Daemon
from tests.engines.images import ensure_busybox
from tools import engines

__all__ = ["deploy_ratios", "slowest_refusal"]

SERVICES: Final = 20
FIRST_ROUNDS: Final = 3  # first deploys, each of a project that is removed again
ROUNDS: Final = 7  # unchanged ones
LIMIT: Final = 300.0  # seconds


def deploy_ratios(agent: Agent, command: Sequence[str], daemon: Daemon, prefix: str) -> dict[str, float]:
    """How many times as long as docker compose's a deploy takes, both in turn: {figure: ratio}.

    Through the API of a running agent, the reading child and the files included; and by `compose up` of `command`.
    """
    with tempfile.TemporaryDirectory(prefix="dockpal-bench-") as folder:
        file = Path(folder, "compose.yaml")
        file.write_text(_file(ensure_busybox(daemon)))
        ups = {
            "compose": _up([str(engines.docker_compose())], ["-d"], file, daemon),
            "api": _deploy(agent, file),
            "shell": _up([*command, "compose"], [], file, daemon),
        }
        names = {who: f"{prefix}-{who}" for who in ups}
        first: dict[str, list[float]] = {who: [] for who in ups}
        again: dict[str, list[float]] = {who: [] for who in ups}
        try:
            for _ in range(FIRST_ROUNDS):
                for who, up in ups.items():
                    daemon.clean(names[who], f"com.docker.compose.project={names[who]}")
                    first[who].append(_seconds(up, names[who]))
            for _ in range(ROUNDS):
                for who, up in ups.items():
                    again[who].append(_seconds(up, names[who]))
        finally:
            for name in names.values():
                daemon.clean(name, f"com.docker.compose.project={name}")
    return {
        "20 services unchanged, deploy": _ratio(again, "api"),
        "20 services unchanged, compose up": _ratio(again, "shell"),
        "20 services first, deploy": _ratio(first, "api"),
        "20 services first, compose up": _ratio(first, "shell"),
    }


def slowest_refusal(agent: Agent) -> float:
    """Seconds until the slowest of the hostile files is refused, what it takes to send it included."""
    return max(_refusal(agent, compose, expected) for compose, expected in HOSTILE.values())


def _refusal(agent: Agent, compose: str, expected: Sequence[int]) -> float:
    client = Client(agent.port, LIMIT)
    begin = time.perf_counter()
    try:
        status, answer = client.call("POST", "/agent/docker/deploy/compose", {"name": "hostile", "compose": compose})
    except (ConnectionError, ssl.SSLError):  # it may hang up on what is too large to be read
        if 413 not in expected:
            raise
    else:
        if status not in expected:
            raise RuntimeError(f"{status}: {answer[:300]!r}")
    finally:
        client.close()
    return time.perf_counter() - begin


def _file(image: str) -> str:
    """Twenty services that run, each with a little of its own."""
    text = "services:\n"
    for number in range(SERVICES):
        text += f"  service{number}:\n    image: {image}\n    command: [sleep, '100000']\n    stop_grace_period: 0s\n"
        text += f"    environment: {{LEVEL: info, NUMBER: '{number}'}}\n"
    return text


def _up(command: list[str], more: list[str], file: Path, daemon: Daemon) -> Callable[[str], None]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(file.parent),
        "DOCKER_HOST": f"unix://{daemon.socket}",
        "DOCKPAL_DOCKER_SOCKET": daemon.socket,
        "DOCKPAL_DATA_DIR": str(file.parent / "agent"),
    }

    def up(project: str) -> None:
        whole = [*command, "-f", str(file), "-p", project, "up", *more]
        ended = subprocess.run(
            whole,
            env=environment,
            cwd=file.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
        )
        if ended.returncode:
            words = ended.stderr[-500:].decode("utf-8", "replace")
            raise RuntimeError(f"{' '.join(whole)} ended with {ended.returncode}: {words}")

    return up


def _deploy(agent: Agent, file: Path) -> Callable[[str], None]:
    def up(project: str) -> None:
        client = Client(agent.port, LIMIT)
        body = {"name": project, "compose": file.read_text()}
        status, answer = client.call("POST", "/agent/docker/deploy/compose", body)
        client.close()
        if status != 200:
            raise RuntimeError(f"{status}: {answer[:300]!r}")

    return up


def _seconds(up: Callable[[str], None], project: str) -> float:
    begin = time.perf_counter()
    up(project)
    return time.perf_counter() - begin


def _ratio(taken: dict[str, list[float]], who: str) -> float:
    return statistics.median(taken[who]) / statistics.median(taken["compose"])
