"""Containers that live in another one's namespaces (`network_mode: container:<id>`): replaced together with it.

When that other one stops, theirs is gone: they run on without a network, and cannot be started again once its id is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dockpal_agent.containers import carry
from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.describe import name_of
from dockpal_agent.engine import Engine, NotFound, containers

__all__ = ["lives_in", "of", "of_all", "request_for"]

MODES: Final = ("NetworkMode", "IpcMode", "PidMode")  # of HostConfig
PREFIX: Final = "container:"

Found = Mapping[str, Any]


def of(engine: Engine, parent: Found) -> list[Found]:
    """The inspects of all containers that live in this one's namespaces, or in those of one that does; parents first.

    One inspect for each container of the host, as Docker's list does not tell: only for a replacement.
    """
    return of_all(engine, [parent])


def of_all(engine: Engine, together: Sequence[Found]) -> list[Found]:
    """The same for several that are replaced together, without these themselves."""
    known = {found["Id"] for found in together}
    others = [found for found in _inspect_all(engine) if found["Id"] not in known]
    found: list[Found] = []
    parents: list[Found] = list(together)
    while parents:
        nearest = parents.pop(0)
        children = [other for other in others if other not in found and lives_in(other, nearest)]
        found += children
        parents += children
    return found


def request_for(engine: Engine, dependant: Found, new_ids: Mapping[str, str], olds: Sequence[Found]) -> CreateRequest:
    """What makes the dependant anew, in the namespaces of the new ones. `new_ids` are by the old ones' ids."""
    request = carry.over(engine, dependant)
    host = dict(request.body["HostConfig"])
    for mode in MODES:
        for old in olds:
            if _names(str(host.get(mode) or ""), old):
                host[mode] = PREFIX + new_ids[str(old["Id"])]
                break
    return replace(request, body={**request.body, "HostConfig": host})


def _inspect_all(engine: Engine) -> list[Found]:
    found: list[Found] = []
    for entry in containers.list_containers(engine, all=True):
        try:
            found.append(containers.inspect(engine, str(entry["Id"])))
        except NotFound:  # removed since the list was made
            continue
    return found


def lives_in(container: Found, parent: Found) -> bool:
    """Whether one has a namespace of the other: its network, most often."""
    host = container.get("HostConfig") or {}
    return any(_names(str(host.get(mode) or ""), parent) for mode in MODES)


def _names(mode: str, parent: Found) -> bool:
    """Whether a mode is `container:` and this one's id, a beginning of it, or its name."""
    if not mode.startswith(PREFIX):
        return False
    other = mode[len(PREFIX) :]
    return other == name_of(parent) or (len(other) >= 12 and str(parent["Id"]).startswith(other))
