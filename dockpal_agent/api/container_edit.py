"""Containers: what changes their settings. Whatever fails, the container is as it was (containers/replace.py)."""

from __future__ import annotations

from typing import Any, Final

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.containers import container_of
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.containers import describe, edit
from dockpal_agent.engine import containers
from dockpal_agent.images.credentials import recode

__all__ = ["ROUTES"]


def put(agent: Agent, request: Request) -> Response:
    """PUT /docker/containers/:id, EditRequest -> ContainerDetail, and the same once more as `container`.

    `?auth=` is for a new image that has to be pulled. The work goes on when the caller leaves; the same call again
    joins it, or finds it done.
    """
    wanted = edit.read(request.json())
    container_id = agent.replacements.edit(container_of(request), wanted, recode(request.query.get("auth")))
    agent.inventory.forget(container_id)  # the next list shows the policy as set here, whenever the event comes
    detail = _detail(agent, container_id)
    return Json({**detail, "container": detail})


def update_image(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/update-image?auth= -> ContainerDetail, of another id where it was replaced."""
    container_id = agent.replacements.update_image(container_of(request), recode(request.query.get("auth")))
    return Json(_detail(agent, container_id))


def _detail(agent: Agent, container_id: str) -> dict[str, Any]:
    found = containers.inspect(agent.engine, container_id)
    return describe.detail(found, agent.own.reason(found))


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("PUT", "/docker/containers/:id", put),
    Route("POST", "/docker/containers/:id/update-image", update_image),
)
