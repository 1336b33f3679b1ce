"""One look at what Docker holds of a project, and of what is around it: lists only, few calls, no change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, Optional

from dockpal_agent.compose import labels
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.options import COMPOSE_VERSION
from dockpal_agent.compose.project import Project
from dockpal_agent.containers.aside import is_aside
from dockpal_agent.engine import Engine, NotFound, containers, images, networks, volumes

__all__ = ["Observed", "Seen", "observe", "seen_of"]

AT_ONCE: Final = 6  # calls

Found = Mapping[str, Any]


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

    @property
    def running(self) -> bool:
        """Whether it has processes, or is about to have them again."""
        return self.state in ("running", "restarting", "paused")


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
    version = engine.api_version
    references = sorted({entry.get("image", "") for entry in project.services.values()}) if project else []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"observe {project_name}") as pool:
        all_containers = pool.submit(containers.list_containers, engine, all=True)
        all_networks = pool.submit(networks.list_networks, engine)
        all_volumes = pool.submit(volumes.list_volumes, engine)
        meant = dict(zip(references, pool.map(lambda reference: _image(engine, reference), references)))
        listed = all_containers.result()
        seen = _of_project(listed, project_name)
        if project is not None:
            seen = list(pool.map(lambda one: _in_detail(engine, one), seen))
    return Observed(
        project=project_name,
        api_version=version,
        containers=tuple(sorted(seen, key=lambda one: (one.service, one.number, one.name))),
        names={name.lstrip("/"): str(found["Id"]) for found in listed for name in found.get("Names") or ()},
        published=tuple(_published(listed)),
        networks={str(found["Name"]): found for found in all_networks.result()},
        volumes={str(found["Name"]): found for found in all_volumes.result()},
        images=meant,
    )


def seen_of(listed: Found, project_name: str) -> Optional[Seen]:
    """An entry of Docker's list as the project's container; None where it is none of it.

    `project_name` is in the form that Compose allows. A half of a replacement under way is none.
    """
    given: Mapping[str, str] = listed.get("Labels") or {}
    name = _name(listed)
    theirs = given.get(labels.PROJECT)
    original = theirs is None and normalise_project_name(given.get(labels.ORIGINAL_PROJECT, "")) == project_name
    if is_aside(name) or not (theirs == project_name or original):
        return None
    service = given.get(labels.ORIGINAL_SERVICE, "") if original else given.get(labels.SERVICE, "")
    return Seen(
        id=str(listed["Id"]),
        name=name,
        service=service or (_service_by_name(name, given) if original else ""),
        number=1 if original else labels.number_of(given),
        state=str(listed.get("State") or ""),
        status=str(listed.get("Status") or ""),
        image=str(listed.get("Image") or ""),
        image_id=str(listed.get("ImageID") or ""),
        created=int(listed.get("Created") or 0),
        labels=given,
        networks=_network_ids(listed),
        mounts=tuple(listed.get("Mounts") or ()),
        ports=tuple(listed.get("Ports") or ()),
        original=original,
        oneoff=given.get(labels.ONEOFF, "False").lower() == "true",
    )


def _of_project(listed: Iterable[Found], project_name: str) -> list[Seen]:
    found = [seen_of(entry, project_name) for entry in listed]
    return [one for one in found if one is not None]


def _service_by_name(name: str, given: Mapping[str, str]) -> str:
    """The original agent called a container `<project>_<service>`."""
    prefix = given.get(labels.ORIGINAL_PROJECT, "") + "_"
    return name[len(prefix) :] if name.startswith(prefix) else ""


def _in_detail(engine: Engine, seen: Seen) -> Seen:
    """With its inspect, where a hash made by another version of docker compose may differ for no reason."""
    if seen.oneoff or seen.original or seen.labels.get(labels.VERSION) == COMPOSE_VERSION:
        return seen
    try:
        return replace(seen, detail=containers.inspect(engine, seen.id))
    except NotFound:
        return seen


def _image(engine: Engine, reference: str) -> Optional[Found]:
    if not reference:
        return None
    try:
        return images.inspect(engine, reference)
    except NotFound:
        return None


def _published(listed: Iterable[Found]) -> Iterable[tuple[str, int, str, str, str]]:
    for found in listed:
        for port in found.get("Ports") or ():
            if port.get("PublicPort"):
                kind = str(port.get("Type") or "tcp")
                yield str(port.get("IP") or ""), int(port["PublicPort"]), kind, str(found["Id"]), _name(found)


def _name(listed: Found) -> str:
    """Names of links to it have a second slash."""
    names = [str(name).lstrip("/") for name in listed.get("Names") or () if str(name).count("/") == 1]
    return names[0] if names else str(listed["Id"])[:12]


def _network_ids(listed: Found) -> dict[str, str]:
    found = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: str((endpoint or {}).get("NetworkID") or "") for name, endpoint in found.items()}
