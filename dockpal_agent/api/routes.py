"""The table: every call that the agent answers, in both modes."""

from __future__ import annotations

from typing import Final

from dockpal_agent.api import apps, container_edit, containers, deploy, files, host, images
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.router import Route

__all__ = ["ALIASES", "ROUTES"]

ROUTES: Final[tuple[Route[Agent], ...]] = (
    *host.ROUTES,
    *containers.ROUTES,
    *container_edit.ROUTES,
    *images.ROUTES,
    *files.ROUTES,
    *deploy.ROUTES,
    *apps.ROUTES,
)

# Forms that the original agent had over the line.
ALIASES: Final = {"/compose/stop": "/docker/compose/stop", "/compose/remove": "/docker/compose/remove"}
