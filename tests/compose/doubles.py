"""A deploy's parts with a converge() of the test's own, so that deploys are tested apart from Docker's part of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from dockpal_agent.compose.apply import Outcome
from dockpal_agent.compose.deployevents import View
from dockpal_agent.compose.deployment import Converge, Parts
from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.compose.deploys import Deploys
from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.compose.locks import ProjectLocks
from dockpal_agent.compose.options import Options, Report
from dockpal_agent.compose.plan import Plan
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.stored import Stored
from dockpal_agent.containers.journal import Journal
from dockpal_agent.engine import Engine

Told = tuple[str, Optional[Outcome]]

__all__ = ["FakeConverge", "Told", "events_of", "house", "yaml"]


def yaml(image: str = "app:1", **more: str) -> str:
    """A Compose file of one service, with a comment."""
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return f"# kept\nservices:\n  web:\n    image: {image}\n{lines}"


@dataclass
class FakeConverge:
    """Notes what it was asked for; `script` may tell progress, wait, or raise."""

    script: Optional[Callable[[Report], None]] = None
    asked: list[tuple[Project, Options]] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, engine: Engine, journal: Journal, project: Project, options: Options, report: Report) -> Outcome:
        self.asked.append((project, options))
        self.begun.release()
        if self.script is not None:
            self.script(report)
        return Outcome(Plan(project.name, ()), {})

    @property
    def projects(self) -> list[str]:
        return [project.name for project, _ in self.asked]


@contextmanager
def house(
    engine: Engine, data: Path, converge: Converge, told: Optional[list[Told]] = None, updates: int = 0, **parts: Any
) -> Iterator[Deploys]:
    """Deploys over a data directory, ended at the end. `told` gets what was deployed, and None for what was removed."""
    hears: list[Told] = [] if told is None else told
    made: dict[str, Any] = {
        "find_host_paths": lambda: HostPaths(contained=False),
        "ready": lambda: None,
        "stored": Stored(data / "compose"),
        **parts,
    }
    deploys = Deploys(
        Parts(
            engine=engine,
            journal=Journal(data / "state" / "replacements"),
            locks=ProjectLocks(data / "state" / "locks"),
            base=Options(),
            converge=converge,
            shell_journals=data / "state" / "shell",
            **made,
        ),
        data / "state" / "deploys",
        updates=updates,
        on_deployed=lambda project, outcome: hears.append((project, outcome)),
        on_removed=lambda project: hears.append((project, None)),
    )
    try:
        yield deploys
    finally:
        deploys.close(10.0)


def events_of(view: View, within: float = 20.0) -> list[tuple[str, str, str]]:
    """(step, status, message) of all events, to the end."""
    found: list[tuple[str, str, str]] = []
    try:
        while True:
            event = view.next(within)
            assert event is not None, f"no end after {found}"
            found.append((event["step"], event["status"], event["message"]))
    except EOFError:
        return found
    finally:
        view.close()


def request(name: str = "app", compose: str = "", **more: Any) -> DeployRequest:
    """A deploy."""
    return DeployRequest(name, compose or yaml(), **more)
