"""A project that is there: listed, stopped, removed, by what Docker knows of it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from dockpal_agent.compose.observe import Seen
from dockpal_agent.compose.options import Report
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine

__all__ = ["NoSuchProject", "Removed", "list_project", "remove_project", "stop_project"]


class NoSuchProject(Exception):
    """Docker has no container of a project of this name."""


@dataclass(frozen=True)
class Removed:
    """Names of what was removed; `warnings` says what could not be."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def list_project(engine: Engine, name: str) -> tuple[Seen, ...]:
    """The project's containers by name, one-off ones left out. `name` in any form. Raises EngineError."""
    raise NotImplementedError


def stop_project(
    engine: Engine, name: str, timeout: Optional[float], report: Report, *, own: Optional[OwnContainer] = None
) -> tuple[str, ...]:
    """Stop all containers, dependants first; the names of those that ran. Raises Protected, NoSuchProject, EngineError.

    `timeout` is seconds until SIGKILL; None leaves each container its own.
    """
    raise NotImplementedError


def remove_project(
    engine: Engine,
    name: str,
    report: Report,
    *,
    volumes: bool = False,
    timeout: Optional[float] = None,
    own: Optional[OwnContainer] = None,
) -> Removed:
    """`down`: stop and remove all containers, then the project's networks, with `volumes` its named volumes as well.

    What is external stays. Raises Protected, NoSuchProject, EngineError.
    """
    raise NotImplementedError
