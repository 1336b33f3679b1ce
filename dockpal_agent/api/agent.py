"""The parts that handlers work with: one value, put together in dockpal_agent/house.py."""

from __future__ import annotations

from dataclasses import dataclass

from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.listing import Apps
from dockpal_agent.apps.logins import Logins
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.switch import Switch
from dockpal_agent.apps.updates import Updates
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
    checks: Checks
    logins: Logins
    apps: Apps
    app_records: Records
    update_feed: UpdateFeed
    switch: Switch
    updates: Updates
