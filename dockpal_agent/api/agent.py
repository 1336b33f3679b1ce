"""The parts that handlers work with: one value, put together in dockpal_agent/agent.py."""

from __future__ import annotations

from dataclasses import dataclass

from dockpal_agent.compose.deploys import Deploys
from dockpal_agent.config import Config
from dockpal_agent.containers.inventory import Inventory
from dockpal_agent.containers.logs import Logs
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.replacements import Replacements
from dockpal_agent.containers.stats import Stats
from dockpal_agent.engine import Engine
from dockpal_agent.host import Host
from dockpal_agent.images.pulls import Pulls

__all__ = ["Agent"]


@dataclass(frozen=True)
class Agent:
    """What a handler may use. Each part guards its own state; handlers run in many threads at once."""

    config: Config
    version: str
    engine: Engine
    host: Host
    own: OwnContainer
    inventory: Inventory
    stats: Stats
    logs: Logs
    pulls: Pulls
    replacements: Replacements
    deploys: Deploys
