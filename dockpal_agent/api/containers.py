"""Containers: list, inspect, lifecycle. What changes a container's settings is in api/container_edit.py."""

from __future__ import annotations

import logging
import re
from typing import Final

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.containers import describe, lifecycle
from dockpal_agent.engine import EngineError, containers

__all__ = ["ROUTES", "container_of"]

log = logging.getLogger(__name__)

_REFERENCE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII)


def container_of(request: Request) -> str:
    """The path's id, id prefix or name. Raises BadRequest for what Docker would never give a container as a name."""
    reference = request.path["id"]
    if _REFERENCE.fullmatch(reference) is None:
        raise BadRequest("a container id or name is 1 to 255 letters, digits, dots, dashes and underscores")
    return reference


def list_all(agent: Agent, request: Request) -> Response:
    """GET /docker/containers?all=true|false (absent: false) -> [ContainerInfo]."""
    return Json(agent.inventory.list(all=request.query.flag("all")))


def inspect(agent: Agent, request: Request) -> Response:
    """GET /docker/containers/:id -> ContainerDetail."""
    found = containers.inspect(agent.engine, container_of(request))
    return Json(describe.detail(found, agent.own.reason(found)))


def start(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/start -> {"status": "started"}; also when it ran already."""
    lifecycle.start(agent.engine, container_of(request))
    return Json({"status": "started"})


def stop(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/stop?timeout=<seconds> -> {"status": "stopped"}; also when it was stopped already."""
    timeout = request.query.seconds("timeout")
    found = containers.inspect(agent.engine, container_of(request))
    agent.own.guard(found, "stop")
    lifecycle.stop(agent.engine, found, timeout)
    return Json({"status": "stopped"})


def restart(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/restart?timeout=<seconds> -> {"status": "restarted"}.

    The agent's own container restarts once the answer is on its way: afterwards there would be nobody to answer.
    """
    timeout = request.query.seconds("timeout")
    found = containers.inspect(agent.engine, container_of(request))
    if not agent.own.is_own(found):
        lifecycle.restart(agent.engine, found, timeout)
        return Json({"status": "restarted"})

    def restart_ourselves() -> None:
        log.info("container %s: restarting, as it was asked to; it is our own", describe.name_of(found))
        try:
            lifecycle.restart(agent.engine, found, timeout)
        except EngineError as error:
            log.error("container %s: the restart failed: %s", describe.name_of(found), error)

    return Json({"status": "restarted"}, then=restart_ourselves)


def remove(agent: Agent, request: Request) -> Response:
    """DELETE /docker/containers/:id?force=true|false (absent: false) -> {"status": "removed"}; volumes stay."""
    force = request.query.flag("force")
    found = containers.inspect(agent.engine, container_of(request))
    agent.own.guard(found, "remove")
    lifecycle.remove(agent.engine, found, force=force)
    return Json({"status": "removed"})


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/docker/containers", list_all),
    Route("GET", "/docker/containers/:id", inspect),
    Route("POST", "/docker/containers/:id/start", start, status_ignored=True),
    Route("POST", "/docker/containers/:id/stop", stop, status_ignored=True),
    Route("POST", "/docker/containers/:id/restart", restart, status_ignored=True),
    Route("DELETE", "/docker/containers/:id", remove, status_ignored=True),
)
