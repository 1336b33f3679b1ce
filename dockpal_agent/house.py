"""The house: everything below the transports, put together and started, and ended in reverse order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from dockpal_agent import __version__
from dockpal_agent.api.agent import Agent
from dockpal_agent.api.auth import Guard
from dockpal_agent.api.router import Router
from dockpal_agent.api.routes import ALIASES, ROUTES
from dockpal_agent.api.service import Service
from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.ending import Parts as UpdateParts
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.listing import Apps
from dockpal_agent.apps.logins import Logins
from dockpal_agent.apps.monitor import Monitor
from dockpal_agent.apps.notes import Notes
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.recover import Recover
from dockpal_agent.apps.schedule import Schedule
from dockpal_agent.apps.switch import Switch
from dockpal_agent.apps.updates import BY_HAND, Updates
from dockpal_agent.apps.wallclock import WallClock
from dockpal_agent.compose.apply import converge
from dockpal_agent.compose.deployment import Parts as DeployParts
from dockpal_agent.compose.deploys import Deploys
from dockpal_agent.compose.hostpaths import host_paths
from dockpal_agent.compose.locks import ProjectLocks
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.stored import Stored
from dockpal_agent.config import Config
from dockpal_agent.containers.created_from import CreatedFrom
from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.containers.inventory import Inventory
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.logs import Logs
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.replacements import Replacements
from dockpal_agent.containers.stats import Stats
from dockpal_agent.engine import Engine
from dockpal_agent.host import Host
from dockpal_agent.images.pulls import Pulls
from dockpal_agent.storage import make_private_directory

__all__ = ["StartFailed", "house"]

GRACE: Final = 8.0  # seconds for changes under way at the end; what has not ended is settled at the next start


class StartFailed(Exception):
    """The agent cannot start; the text says what to do."""


@dataclass(frozen=True)
class _Docker:
    """What stands below deploys and apps."""

    engine: Engine
    feed: EventFeed
    own: OwnContainer
    pulls: Pulls
    replacements: Replacements
    created_from: CreatedFrom


@dataclass(frozen=True)
class _AppRoom:
    """Deploys, and apps upon them."""

    deploys: Deploys
    checks: Checks
    logins: Logins
    apps: Apps
    records: Records
    update_feed: UpdateFeed
    switch: Switch
    updates: Updates
    monitor: Monitor
    recover: Recover


@contextlib.contextmanager
def house(config: Config, left: Callable[[], float] = lambda: GRACE) -> Iterator[Service[Agent]]:
    """The service that a transport calls. At the end each part has the seconds that are `left`. Raises StartFailed."""
    _make_directories(config)
    with contextlib.ExitStack() as ending:
        docker = _docker(config, ending)
        room = _app_room(config, docker)
        agent = Agent(
            config=config,
            version=__version__,
            engine=docker.engine,
            host=Host(docker.engine),
            own=docker.own,
            inventory=Inventory(docker.engine, docker.own, docker.feed, docker.created_from),
            stats=Stats(docker.engine, docker.feed),
            logs=Logs(docker.engine, docker.feed),
            pulls=docker.pulls,
            replacements=docker.replacements,
            deploys=room.deploys,
            checks=room.checks,
            logins=room.logins,
            apps=room.apps,
            app_records=room.records,
            update_feed=room.update_feed,
            switch=room.switch,
            updates=room.updates,
        )
        _start(agent, docker.feed, room, ending, left)
        yield Service(Router(ROUTES, ALIASES), Guard(config.tokens), agent)


def _start(
    agent: Agent, feed: EventFeed, room: _AppRoom, ending: contextlib.ExitStack, left: Callable[[], float]
) -> None:
    """Start what has threads, what others stand on first."""
    agent.replacements.start()
    ending.callback(lambda: agent.replacements.stop(left()))
    agent.deploys.begin()
    ending.callback(lambda: agent.deploys.close(left()))
    agent.updates.begin()
    ending.callback(lambda: agent.updates.close(left()))
    feed.start()
    ending.callback(feed.stop)
    ending.callback(lambda: room.recover.stop(left()))
    ending.callback(agent.stats.stop)
    agent.host.start()
    ending.callback(agent.host.stop)
    room.monitor.start()
    ending.callback(lambda: room.monitor.stop(min(1.0, left())))  # it only reads
    ending.callback(agent.update_feed.close)


def _docker(config: Config, ending: contextlib.ExitStack) -> _Docker:
    engine = Engine(config.docker_socket)
    ending.callback(engine.close)
    own = OwnContainer(engine)
    pulls = Pulls(engine)
    ending.callback(pulls.close)
    journal = Journal(config.state_dir / "replacements", others=config.state_dir / "shell")
    return _Docker(
        engine=engine,
        feed=EventFeed(engine),
        own=own,
        pulls=pulls,
        replacements=Replacements(engine, journal, own, pulls),
        created_from=CreatedFrom(engine),
    )


def _app_room(config: Config, docker: _Docker) -> _AppRoom:
    checks = Checks(config.state_dir / "image-checks.json")
    choices = Choices(config.state_dir / "apps.json")
    update_feed = UpdateFeed()
    records = Records(config.state_dir / "updates.jsonl", tell=update_feed.tell)
    apps = Apps(docker.engine, checks, choices, records, docker.created_from)
    deploys = Deploys(
        _deploy_parts(config, docker),
        config.state_dir / "deploys",
        updates=config.auto_update_concurrency + BY_HAND,
        on_deployed=lambda project, outcome: switch.on_deployed(project, outcome),
        on_removed=lambda project: switch.on_removed(project),
    )
    switch = Switch(apps, choices, deploys)
    logins = Logins(config.registry_auth_file)
    parts = UpdateParts(
        engine=docker.engine,
        pulls=docker.pulls,
        replacements=docker.replacements,
        deploys=deploys,
        own=docker.own,
        records=records,
        choices=choices,
        checks=checks,
        notes=Notes(config.state_dir / "updates"),
        logins=logins,
        grace=config.auto_update_health_grace,
        cleanup=config.auto_update_cleanup,
    )
    updates = Updates(parts, apps.find, at_once=config.auto_update_concurrency)
    local = WallClock(docker.engine).local
    schedule = Schedule(apps, updates, checks, choices, records, update_feed, config, local=local)
    return _AppRoom(
        deploys=deploys,
        checks=checks,
        logins=logins,
        apps=apps,
        records=records,
        update_feed=update_feed,
        switch=switch,
        updates=updates,
        monitor=Monitor(
            docker.engine,
            checks,
            login=logins.read,
            interval=config.image_check_interval,
            after_round=schedule.after_round,
        ),
        recover=Recover(
            docker.engine,
            docker.feed,
            choices,
            lambda project: deploys.busy(project) or updates.running(project),
        ),
    )


def _deploy_parts(config: Config, docker: _Docker) -> DeployParts:
    """What changes whole projects; the containers of a project are replaced by the journal of all replacements."""
    return DeployParts(
        engine=docker.engine,
        journal=docker.replacements.journal,
        stored=Stored(config.compose_dir),
        locks=ProjectLocks(config.state_dir / "locks"),
        base=Options(own=docker.own, pulls=docker.pulls),
        find_host_paths=lambda: host_paths(docker.engine, docker.own),
        ready=docker.replacements.ready,
        converge=converge,
        shell_journals=config.state_dir / "shell",
    )


def _make_directories(config: Config) -> None:
    try:
        make_private_directory(config.data_dir)
        make_private_directory(config.state_dir)
    except OSError as error:
        hint = "make it writable for the agent's user, or name another with DOCKPAL_DATA_DIR"
        raise StartFailed(f"{config.data_dir} cannot be made: {error.strerror}; {hint}") from error
