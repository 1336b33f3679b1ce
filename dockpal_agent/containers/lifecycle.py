"""Start, stop, restart, remove: each asks for a state, and one that holds already is a success.

`found` is an inspect, which the caller has for its own checks; what follows goes by its id, so that nobody else is
struck when the name is given to another container meanwhile. All raise EngineError with Docker's words.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine import Conflict, Engine, NotFound, containers

__all__ = ["remove", "restart", "start", "stop", "stop_timeout"]

log = logging.getLogger(__name__)

STOP_TIMEOUT: Final = 10.0  # seconds, Docker's own where the container does not say
GONE_WITHIN: Final = 60.0  # seconds that a removal begun by somebody else may take


def start(engine: Engine, container: str) -> None:
    """Start a container; a paused one goes on."""
    try:
        containers.start(engine, container)
    except Conflict:
        found = containers.inspect(engine, container)
        if not (found.get("State") or {}).get("Paused"):
            raise
        containers.unpause(engine, str(found["Id"]))


def stop(engine: Engine, found: Mapping[str, Any], timeout: Optional[float] = None) -> None:
    """Stop a container. `timeout` is seconds until SIGKILL; None means the container's own stop timeout.

    One that vanishes by being stopped (AutoRemove) is stopped.
    """
    seconds = stop_timeout(found) if timeout is None else timeout
    try:
        containers.stop(engine, str(found["Id"]), seconds)
    except NotFound:
        log.info("container %s: gone while it was stopped", found.get("Name"))


def restart(engine: Engine, found: Mapping[str, Any], timeout: Optional[float] = None) -> None:
    """Stop a container, as stop() does, and start it."""
    containers.restart(engine, str(found["Id"]), stop_timeout(found) if timeout is None else timeout)


def remove(engine: Engine, found: Mapping[str, Any], *, force: bool = False) -> None:
    """Remove a container; its volumes stay, the anonymous ones too. One that is gone already is a success.

    Without force a running one is stopped first, as stop() does; with it, it is killed.
    """
    container_id = str(found["Id"])
    if not force and (found.get("State") or {}).get("Running"):
        stop(engine, found)
    try:
        containers.remove(engine, container_id, force=force)
    except NotFound:
        return
    except Conflict as error:
        if "already in progress" not in str(error):
            raise
        _wait_until_gone(engine, container_id)


def stop_timeout(found: Mapping[str, Any]) -> float:
    """The container's own seconds until SIGKILL; negative: never."""
    seconds = (found.get("Config") or {}).get("StopTimeout")
    return STOP_TIMEOUT if seconds is None else float(seconds)


def _wait_until_gone(engine: Engine, container_id: str) -> None:
    try:
        containers.wait(engine, container_id, condition="removed", within=GONE_WITHIN)
    except NotFound:
        return
