"""Containers that live in a project's without its file saying so (`docker run --network container:shop-web-1`).

An update that nobody asked for must not leave them without a network: they are made anew with what they live in, keep
their own images, and are put back with the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Optional

from dockpal_agent.containers import dependants
from dockpal_agent.containers.journal import Entry
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.replace import Group
from dockpal_agent.engine import Engine

__all__ = ["prepare_guests"]


def prepare_guests(
    engine: Engine,
    group: Group,
    replaced: Mapping[str, Mapping[str, Any]],
    leave: Collection[str],
    own: Optional[OwnContainer],
) -> list[Entry]:
    """Create the successors of all that lives in the namespaces of what the group replaces; parents first.

    `replaced` are inspects by the ids of their successors, `leave` ids that the plan itself sees to. Raises Protected
    for a guest that may not be replaced, StepFailed, EngineError.
    """
    olds = list(replaced.values())
    new_ids = {str(old["Id"]): new_id for new_id, old in replaced.items()}
    entries = []
    for old in dependants.of_all(engine, olds):
        if old["Id"] in leave:
            continue
        if own is not None:
            own.guard(old, "edit")
        entry = group.prepare(old, dependants.request_for(engine, old, new_ids, olds))
        olds.append(old)
        new_ids[str(old["Id"])] = entry.new_id
        entries.append(entry)
    return entries
