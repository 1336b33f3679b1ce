"""One look at what Docker holds of a project, and of what is around it: lists only, few calls, no change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from dockpal_agent.compose.project import Project
from dockpal_agent.engine import Engine

__all__ = ["Observed", "Seen", "observe"]


@dataclass(frozen=True)
class Seen:
    """A container of the project. `networks` are network ids by name, `mounts` Docker's MountPoints.

    `original` says that the original agent made it: it has none of Compose's labels. `detail` is its inspect, where the
    list could not tell enough.
    """

    id: str
    name: str
    service: str
    number: int
    state: str  # created, running, paused, restarting, removing, exited, dead
    status: str
    image: str
    image_id: str
    created: int
    labels: Mapping[str, str]
    networks: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mapping[str, Any], ...] = ()
    ports: tuple[Mapping[str, Any], ...] = ()
    original: bool = False
    oneoff: bool = False
    detail: Optional[Mapping[str, Any]] = None


@dataclass(frozen=True)
class Observed:
    """What Docker held at one moment.

    `names` are the ids of all containers of the host by name; `published` who has which port of the host, as
    (address, port, protocol, container's id, its name). `networks` and `volumes` are all of the host, by name; `images`
    what each reference that the project uses means here, None where it is missing.
    """

    project: str
    api_version: tuple[int, int]
    containers: tuple[Seen, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    published: tuple[tuple[str, int, str, str, str], ...] = ()
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, Optional[Mapping[str, Any]]] = field(default_factory=dict)


def observe(engine: Engine, project_name: str, project: Optional[Project] = None) -> Observed:
    """Look. With `project`, also at the images it uses. Raises EngineError."""
    raise NotImplementedError
