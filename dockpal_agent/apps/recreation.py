"""Updating the containers of a project that has no Compose file here, from what their labels say of one another."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Final

from dockpal_agent.apps.selection import Held
from dockpal_agent.compose.labels import DEPENDS_ON, SERVICE
from dockpal_agent.compose.waiting import COMPLETED, HEALTHY, Watched, wait_for
from dockpal_agent.containers.replacements import Replacements
from dockpal_agent.containers.together import Wishes
from dockpal_agent.engine import Engine

__all__ = ["Need", "needs_of", "recreate", "wishes_for"]

WAIT_LIMIT: Final = 600.0  # seconds for each condition of a depends_on, as in a deploy

Gate = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class Need:
    """One entry of a service's `depends_on`, as docker compose writes it into a label."""

    service: str
    condition: str
    restart: bool


def needs_of(labels: Mapping[str, str]) -> list[Need]:
    """What `com.docker.compose.depends_on` says: `db:service_healthy:true,cache:service_started:false`.

    Compose before 2.2 wrote the names alone.
    """
    found = []
    for entry in filter(None, labels.get(DEPENDS_ON, "").split(",")):
        service, _, rest = entry.partition(":")
        condition, _, restart = rest.partition(":")
        found.append(Need(service.strip(), condition or "service_started", restart == "true"))
    return found


def wishes_for(held: Sequence[Held], new_images: Mapping[str, str]) -> Wishes:
    """What is to become of a project's containers. `new_images` are image ids by the containers' ids."""
    services: dict[str, list[Held]] = {}
    for one in held:
        services.setdefault(_service(one), []).append(one)
    needs = {one.member.id: needs_of(one.member.labels) for one in held}
    awaited = {need.service for each in needs.values() for need in each if need.condition == COMPLETED}
    renewed = {_service(one) for one in held if one.member.id in new_images}
    return Wishes(
        images=new_images,
        needs={
            container: [other.member.id for need in each for other in services.get(need.service, ())]
            for container, each in needs.items()
        },
        jobs=[one.member.id for one in held if one.member.id in new_images and _service(one) in awaited],
        restarts=[
            one.member.id
            for one in held
            if one.member.id not in new_images
            and one.in_motion
            and any(need.restart and need.service in renewed for need in needs[one.member.id])
        ],
    )


def recreate(
    engine: Engine,
    replacements: Replacements,
    title: str,
    held: Sequence[Held],
    new_images: Mapping[str, str],
    gate: Gate,
) -> None:
    """Recreate these containers with their new images, all or none. Raises as Replacements.update_together."""
    by_id = {one.member.id: one for one in held}

    def ready(old_id: str, new_ids: Mapping[str, str]) -> None:
        """Wait for what a container needs. What is not of the project needs nothing."""
        one = by_id.get(old_id)
        for need in needs_of(one.member.labels) if one is not None else ():
            awaited = [
                Watched(new_ids[other.member.id], other.member.name)
                for other in held
                if _service(other) == need.service
                and other.member.id in new_ids
                and (other.in_motion or other.member.id in wishes.jobs)
            ]
            if need.condition in (HEALTHY, COMPLETED) and awaited:
                wait_for(engine, need.service, need.condition, awaited, WAIT_LIMIT, threading.Event())

    wishes = wishes_for(held, new_images)
    replacements.update_together(title, wishes, gate, ready)


def _service(one: Held) -> str:
    return one.member.labels.get(SERVICE) or one.member.service
