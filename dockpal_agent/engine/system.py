"""The daemon itself (Engine API, section System)."""

from __future__ import annotations

from typing import Any

from dockpal_agent.engine.client import Engine
from dockpal_agent.engine.shapes import object_of

__all__ = ["info", "ping", "version"]


def info(engine: Engine, *, within: float = 30.0) -> dict[str, Any]:
    """The daemon's configuration and counts. Engine API: GET /info."""
    return object_of(engine.get("/info", within=within).json())


def version(engine: Engine, *, within: float = 30.0) -> dict[str, Any]:
    """Versions of the daemon and its parts. Engine API: GET /version."""
    return object_of(engine.get("/version", within=within).json())


def ping(engine: Engine, *, within: float = 5.0) -> None:
    """Return when the daemon answers, `within` seconds at the most. Engine API: GET /_ping.

    Raises EngineUnavailable, EngineTimeout, EngineBroken, EngineRefused.
    """
    engine.get("/_ping", ok=(200,), within=within)
