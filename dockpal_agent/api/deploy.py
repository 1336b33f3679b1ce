"""Deploys and whole projects: bring up, watch, plan, stop, remove (protocol 1.4, 4 and 13)."""

from __future__ import annotations

from typing import Final, Optional

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest, NotInTime
from dockpal_agent.api.messages import End, Json, Message, Messages, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.compose.deployevents import View
from dockpal_agent.compose.deployrequest import LARGEST_BODY, read_deploy
from dockpal_agent.compose.names import normalise_project_name

__all__ = ["ROUTES"]

WAIT_LIMIT: Final = 900.0  # seconds for an answer; the deploy itself may take longer, and is joined by the next call


def deploy(agent: Agent, request: Request) -> Response:
    """POST /docker/deploy/compose, a Deploy -> {"status": "deployed", "deploy_id"}.

    The deploy goes on when the caller leaves, and the same call again joins it.
    """
    started = agent.deploys.start(read_deploy(request.json(LARGEST_BODY)))
    try:
        started.wait(WAIT_LIMIT)
    except TimeoutError as error:
        raise NotInTime(str(error)) from error
    return Json({"status": "deployed", "deploy_id": started.deploy_id})


def start(agent: Agent, request: Request) -> Response:
    """POST /docker/deploy/stream, a Deploy -> {"deploy_id"} at once: what goes wrong is said in events."""
    started = agent.deploys.start(read_deploy(request.json(LARGEST_BODY)))
    return Json({"deploy_id": started.deploy_id})


def watch(agent: Agent, request: Request) -> Response:
    """GET /docker/deploy/stream/:deploy_id -> DeployEvent objects from the first; the last is `complete` or an error.

    404 before the upgrade for an id that is unknown, or whose day is over.
    """
    return Messages(lambda: _Events(agent.deploys.view(request.path["deploy_id"])))


def plan(agent: Agent, request: Request) -> Response:
    """POST /docker/deploy/plan, a Deploy -> what it would do, why, and what is at risk; changes nothing."""
    made, warnings = agent.deploys.plan(read_deploy(request.json(LARGEST_BODY)))
    answer = made.as_json()
    known = answer.get("warnings") or []
    return Json({**answer, "warnings": [*known, *(warning for warning in warnings if warning not in known)]})


def stop(agent: Agent, request: Request) -> Response:
    """POST /docker/compose/stop {"name"} -> {"status": "stopped", "containers": [names]}."""
    stopped = agent.deploys.stop(_name(request), WAIT_LIMIT)
    return Json({"status": "stopped", "containers": list(stopped)})


def remove(agent: Agent, request: Request) -> Response:
    """POST /docker/compose/remove {"name"} -> {"status": "removed", …}: containers, networks and our files; no volume.

    `left` names what stays in the project's folder, as the agent did not write it.
    """
    removed, left = agent.deploys.remove(_name(request), WAIT_LIMIT)
    return Json(
        {
            "status": "removed",
            "containers": list(removed.containers),
            "networks": list(removed.networks),
            "left": left,
            "warnings": list(removed.warnings),
        }
    )


def _name(request: Request) -> str:
    """The project's name, in any form that means one."""
    name = request.json().get("name")
    if not isinstance(name, str) or not normalise_project_name(name) or "/" in name or ".." in name:
        raise BadRequest("name is required: that of a project")
    return name


class _Events:
    """A deploy's events as a stream of messages."""

    def __init__(self, view: View) -> None:
        self._view = view

    def next(self, timeout: float) -> Optional[Message]:
        """As MessageStream."""
        try:
            return self._view.next(timeout)
        except EOFError:
            raise End from None

    def close(self) -> None:
        """Leave; the deploy goes on."""
        self._view.close()


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("POST", "/docker/deploy/compose", deploy, status_ignored=True),
    Route("POST", "/docker/deploy/stream", start),
    Route("GET", "/docker/deploy/stream/:deploy_id", watch, stream=True),
    Route("POST", "/docker/deploy/plan", plan),
    Route("POST", "/docker/compose/stop", stop, status_ignored=True),
    Route("POST", "/docker/compose/remove", remove, status_ignored=True),
)
