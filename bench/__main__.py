"""`make bench`: one table, each figure beside its budget; PEER=<command> puts another agent beside ours.

The command is run with the same variables (DOCKPAL_MODE, DOCKPAL_TOKEN, DOCKPAL_DIRECT_LISTEN, …). Timed on a shared
machine, so a figure just over its budget is measured again before it is believed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Optional

import build
from bench import figures
from bench.agents import Agent, started
from bench.container import agent_in_container
from bench.deploys import deploy_ratios, slowest_refusal
from bench.exercise import exercise
from tests.engines.daemon import Daemon
from tests.engines.images import ensure_busybox
from tools.pyz import archive, contents

__all__ = ["main"]

CONTAINERS: Final = 50
PREFIX: Final = f"bench{os.getpid()}"
SOCKET: Final = "/var/run/docker.sock"

# figure → (budget, unit), in the order of the table
BUDGETS: Final[dict[str, tuple[float, str]]] = {
    "agent.pyz": (6.0, "MB"),
    "start to first answer": (400, "ms"),
    "the same, certificate made": (600, "ms"),
    "list of 50, cold": (4.0, "x"),
    "list of 50, warm": (1.5, "x"),
    "inspect": (4.0, "x"),
    "images": (4.0, "x"),
    "ping, new TLS connection": (5, "ms"),
    "host stats": (20, "ms"),
    "stats polled every 2.5 s": (30, "ms"),
    "50 stats at once, new connections": (1500, "ms"),
    "20 services unchanged, deploy": (2.0, "x"),  # of `docker compose up -d`, in turn, as the three below
    "20 services unchanged, compose up": (2.0, "x"),
    "20 services first, deploy": (1.5, "x"),
    "20 services first, compose up": (1.5, "x"),
    "hostile file refused, the slowest": (2000, "ms"),
    "idle CPU, 50 containers": (0.2, "%"),
    "RSS after all of this": (30, "MiB"),  # as ps and docker stats count
    "docker stats, idle, all was used": (20, "MiB"),
}


@dataclass
class Column:
    """What one agent showed: figure → number in the unit of BUDGETS."""

    title: str
    command: list[str]
    size: int
    shown: dict[str, float] = field(default_factory=dict)


def measure(column: Column, daemon: Daemon, containers: list[str]) -> None:
    """Fill in all that is measured on a process of this host."""
    shown = column.shown
    shown["agent.pyz"] = column.size / 1e6
    with tempfile.TemporaryDirectory(prefix="dockpal-bench-") as folder:
        data = Path(folder)
        with started(column.command, data) as agent:
            shown["the same, certificate made"] = agent.took * 1e3
        cold, starts = [], []
        for _ in range(3):
            with started(column.command, data) as agent:
                starts.append(agent.took * 1e3)
                cold.append(figures.cold_list_ratio(agent, daemon, CONTAINERS))
        shown["start to first answer"], shown["list of 50, cold"] = sorted(starts)[1], sorted(cold)[1]
        with started(column.command, data) as agent:
            _measure_running(shown, agent, daemon, containers)


def _measure_running(shown: dict[str, float], agent: Agent, daemon: Daemon, containers: list[str]) -> None:
    one = containers[0]
    list_paths = ("/agent/docker/containers", "/containers/json?all=1")
    shown["list of 50, warm"] = figures.ratio(agent, daemon, *list_paths)
    shown["inspect"] = figures.ratio(agent, daemon, f"/agent/docker/containers/{one}", f"/containers/{one}/json")
    shown["images"] = figures.ratio(agent, daemon, "/agent/docker/images", "/images/json")
    shown["ping, new TLS connection"] = figures.new_ping(agent) * 1e3
    shown["host stats"] = figures.host_stats(agent) * 1e3
    shown["stats polled every 2.5 s"] = figures.polled_stats(agent, one) * 1e3
    shown["50 stats at once, new connections"] = figures.fifty_stats(agent, containers) * 1e3
    for line in exercise(agent.port, one, f"{PREFIX}-app"):
        print(f"  not done: {line}", file=sys.stderr)
    shown["idle CPU, 50 containers"] = figures.idle_cpu(agent)
    shown["RSS after all of this"] = agent.memory() / 2**20


def measure_deploys(column: Column, daemon: Daemon) -> None:
    """Fill in what takes docker compose as its measure."""
    with tempfile.TemporaryDirectory(prefix="dockpal-bench-") as folder, started(column.command, Path(folder)) as agent:
        column.shown.update(deploy_ratios(agent, column.command, daemon, f"{PREFIX}-deploy"))
        column.shown["hostile file refused, the slowest"] = slowest_refusal(agent) * 1e3


def measure_container(column: Column, pyz: Path, daemon: Daemon, container: str) -> None:
    """What `docker stats` shows for ours in a container, after every kind of call.

    The second container counts: the first one is charged for the image's files that it reads into the page cache.
    """
    with agent_in_container(pyz, f"{PREFIX}-agent", daemon) as place:
        exercise(place.port, container, f"{PREFIX}-app")
    with agent_in_container(pyz, f"{PREFIX}-agent", daemon) as place:
        exercise(place.port, container, f"{PREFIX}-app")
        column.shown["docker stats, idle, all was used"] = place.memory_when_idle() / 2**20


@contextlib.contextmanager
def fifty(daemon: Daemon) -> Iterator[list[str]]:
    """Fifty running containers; their ids."""
    image, labels = ensure_busybox(daemon), {"dockpal.bench": PREFIX}
    try:
        yield [
            daemon.run(image, "sleep", "100000", name=f"{PREFIX}-{number}", labels=labels, StopTimeout=0)
            for number in range(CONTAINERS)
        ]
    finally:
        daemon.clean(PREFIX, f"dockpal.bench={PREFIX}")


def table(columns: list[Column]) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'':36}{'budget':>12}" + "".join(f"{column.title:>14}" for column in columns)
    for name, (budget, unit) in BUDGETS.items():
        cells = "".join(_cell(column.shown.get(name), budget, unit) for column in columns)
        yield f"{name:36}{f'{budget:g} {unit}':>12}{cells}"


def _cell(value: Optional[float], budget: float, unit: str) -> str:
    if value is None:
        return f"{'–':>14}"
    digits = 2 if value < 10 else 0 if value >= 100 else 1
    return f"{f'{value:.{digits}f} {unit}' + (' !' if value > budget else '  '):>14}"


def main() -> int:
    daemon = Daemon.at(SOCKET)
    with tempfile.TemporaryDirectory(prefix="dockpal-bench-") as folder:
        pyz = Path(folder, "agent.pyz")
        packed = build.dependencies()
        archive.write(build.build(packed, contents.sources(packed)), pyz)
        columns = [Column("dockpal-agent", [sys.executable, "-I", "-S", str(pyz)], pyz.stat().st_size)]
        if os.environ.get("PEER"):
            peer = shlex.split(os.environ["PEER"])
            columns.append(Column("peer", peer, Path(peer[-1] if Path(peer[-1]).is_file() else peer[0]).stat().st_size))
        with fifty(daemon) as containers:
            for column in columns:
                measure(column, daemon, containers)
            measure_deploys(columns[0], daemon)
            measure_container(columns[0], pyz, daemon, containers[0])
    print("\n".join(table(columns)))
    print("! is over its budget. x: times the engine's own answer in this run, both on a kept connection.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
