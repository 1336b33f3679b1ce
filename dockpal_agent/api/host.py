"""Liveness, enrollment, and the host's facts and figures."""

from __future__ import annotations

from typing import Final

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.engine import EngineError, system

__all__ = ["ROUTES"]

PING_WITHIN: Final = 5.0  # seconds; the Server gives its Test button 10


def ping(agent: Agent, request: Request) -> Response:
    """GET /ping -> {"status": "ok"}; 503 with Docker's trouble while the daemon does not answer."""
    try:
        system.ping(agent.engine, within=PING_WITHIN)
    except EngineError as error:
        return Json({"status": "error", "error": str(error)}, 503)
    return Json({"status": "ok"})


def enroll(agent: Agent, request: Request) -> Response:
    """POST /enroll -> status, hostname, os, cpu_cores, total_memory (bytes), docker_version, version."""
    return Json({"status": "ok", **agent.host.info(), "version": agent.version})


def info(agent: Agent, request: Request) -> Response:
    """GET /host/info -> HostInfo."""
    return Json(agent.host.info())


def stats(agent: Agent, request: Request) -> Response:
    """GET /host/stats -> HostStats."""
    return Json(agent.host.stats())


def line_info(agent: Agent, request: Request) -> Response:
    """GET /host-info -> the Server's first question over the line (protocol 7.2), where it learns the version."""
    known = agent.host.info()
    return Json(
        {
            "docker_version": known["docker_version"],
            "os": known["os"],
            "cpu_cores": known["cpu_cores"],
            "total_memory": known["total_memory"],
            "agent_version": agent.version,
        }
    )


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/ping", ping, public=True, status_ignored=True, prompt=True),
    Route("POST", "/enroll", enroll, prompt=True),
    Route("GET", "/host/info", info, prompt=True),
    Route("GET", "/host/stats", stats, prompt=True),
    Route("GET", "/host-info", line_info, prompt=True),
)
