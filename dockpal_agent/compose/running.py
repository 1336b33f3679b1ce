"""A project that is there: listed, stopped, removed, by what Docker knows of it alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Final, Optional

from dockpal_agent.compose import labels
from dockpal_agent.compose.inorder import in_order
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.observe import Seen, seen_of
from dockpal_agent.compose.options import DONE, Progress, Report
from dockpal_agent.compose.project import dependency_cycle, start_order
from dockpal_agent.containers.own import Action, OwnContainer
from dockpal_agent.engine import Engine, EngineRefused, NotFound, containers, networks, volumes

__all__ = ["NoSuchProject", "Removed", "list_project", "remove_project", "stop_project"]

IN_USE: Final = "Resource is still in use"


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
    return tuple(seen for seen in _all_of(engine, name) if not seen.oneoff)


def stop_project(
    engine: Engine, name: str, timeout: Optional[float], report: Report, *, own: Optional[OwnContainer] = None
) -> tuple[str, ...]:
    """Stop all containers, dependants first; the names of those that ran. Raises Protected, NoSuchProject, EngineError.

    `timeout` is seconds until SIGKILL; None leaves each container its own.
    """
    found = list_project(engine, name)
    if not found:
        raise NoSuchProject(f"no container of a project {name} was found")
    _guard(engine, found, own, "stop")
    stopped: list[str] = []

    def stop(seen: Seen) -> None:
        if seen.running:
            report(Progress("stop", seen.service, f"container {seen.name}: stopping"))
            if _stop(engine, seen, timeout):
                stopped.append(seen.name)
            report(Progress("stop", seen.service, f"container {seen.name}: stopped", DONE))

    _dependants_first(found, stop, f"stop {name}")
    return tuple(sorted(stopped))


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
    found = _all_of(engine, name)
    project = normalise_project_name(name)
    its_networks = _resources_of(networks.list_networks(engine, filters={"label": f"{labels.PROJECT}={project}"}))
    its_volumes = _volumes_of(engine, project) if volumes else []
    if not found and not its_networks and not its_volumes:
        raise NoSuchProject(f"nothing of a project {name} was found")
    _guard(engine, found, own, "remove")
    removed: list[str] = []

    def remove(seen: Seen) -> None:
        if seen.running:
            _stop(engine, seen, timeout)
        try:
            containers.remove(engine, seen.id, force=True, volumes=volumes)
        except NotFound:
            return
        removed.append(seen.name)
        report(Progress("remove", seen.service, f"container {seen.name}: removed", DONE))

    _dependants_first(found, remove, f"remove {name}")
    warnings: list[str] = []
    gone = [one for one in its_networks if _removed(engine, "network", one, report, warnings)]
    cleared = [one for one in its_volumes if _removed(engine, "volume", one, report, warnings)]
    return Removed(tuple(sorted(removed)), tuple(gone), tuple(cleared), tuple(warnings))


def _all_of(engine: Engine, name: str) -> list[Seen]:
    project = normalise_project_name(name)
    found = [seen_of(entry, project) for entry in containers.list_containers(engine, all=True)]
    return sorted((seen for seen in found if seen is not None), key=lambda seen: seen.name)


def _resources_of(listed: Sequence[Mapping[str, object]]) -> list[str]:
    return sorted(str(entry["Name"]) for entry in listed)


def _volumes_of(engine: Engine, project: str) -> list[str]:
    return _resources_of(volumes.list_volumes(engine, filters={"label": f"{labels.PROJECT}={project}"}))


def _guard(engine: Engine, found: Sequence[Seen], own: Optional[OwnContainer], action: Action) -> None:
    """Nothing of a project is touched where one of its containers may not be. Raises Protected, EngineError."""
    for seen in found:
        if own is not None and own.protection(seen.id, seen.labels, seen.running) is not None:
            own.guard(containers.inspect(engine, seen.id), action)


def _stop(engine: Engine, seen: Seen, timeout: Optional[float]) -> bool:
    try:
        return containers.stop(engine, seen.id, timeout)
    except NotFound:
        return False


def _dependants_first(found: Sequence[Seen], deed: Callable[[Seen], None], title: str) -> None:
    """Do it for each container, after those of the services that need it."""
    by_service: dict[str, list[Seen]] = {}
    for seen in found:
        by_service.setdefault(seen.service, []).append(seen)
    needs = {service: _needs(there, by_service) for service, there in by_service.items()}
    if dependency_cycle(needs):  # labels of several versions of the file: then without an order
        needs = {service: [] for service in needs}
    order = start_order(needs)[::-1]
    users = {name: [other for other in order if name in needs[other]] for name in order}

    def each(service: str, failed: threading.Event) -> None:
        for seen in by_service[service]:
            if not failed.is_set():
                deed(seen)

    in_order(list(order), users, each, title)


def _needs(there: Sequence[Seen], known: Mapping[str, object]) -> list[str]:
    """From the label `db:service_healthy:false,…`."""
    found = {text.split(":")[0] for seen in there for text in seen.labels.get(labels.DEPENDS_ON, "").split(",")}
    return sorted(found & set(known))


def _removed(engine: Engine, kind: str, name: str, report: Report, warnings: list[str]) -> bool:
    try:
        if kind == "network":
            networks.remove(engine, name)
        else:
            volumes.remove(engine, name)
    except NotFound:
        return False
    except EngineRefused as error:
        warnings.append(f"{kind} {name}: {IN_USE} ({error})")
        return False
    report(Progress("remove", name, f"{kind} {name}: removed", DONE))
    return True
