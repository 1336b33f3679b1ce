"""Which apps are updated by themselves, and when: after each round of the image monitor (protocol 5.4).

An app that opted in is due where a container that runs has an image that its registry has a newer one of. It is
skipped, which the feed tells, while its cooldown lasts or its window is shut. Not even looked at is what

- failed its health gate or could not be started before, until its tag moves on (quarantine);
- bears `com.centurylinklabs.watchtower.enable=false`, its whole service and its image's other services with it;
- is younger than the `dockpal.auto-update.min-age` of any service that uses it, counted from when it was first seen;
- belongs to an app with a protected container, the agent's own among them: that can only fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Callable, Final, Optional, Protocol

from dockpal_agent.apps.app import App, Member
from dockpal_agent.apps.checks import Check, Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.listing import Apps, opted_in
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.selection import WATCHTOWER, Due
from dockpal_agent.apps.stages import ErrorCode
from dockpal_agent.apps.window import MIN_AGE, WINDOW, read_age, read_window, seconds_young
from dockpal_agent.config import Config
from dockpal_agent.containers.own import AGENT_LABEL, PROTECTED_LABEL
from dockpal_agent.engine import EngineError

__all__ = ["Automatic", "Schedule"]

log = logging.getLogger(__name__)


class Automatic(Protocol):
    """What begins updates; apps.updates.Updates is one."""

    def running(self, project: str) -> bool:
        """Whether an update of this project runs or waits for its turn."""

    def automatic(self, app: App, services: Collection[str], due: Due) -> object:
        """Update these services of the app, when there is room. Where it has to wait for that, `due` says of the app as
        it is by then which are still to be updated. Never raises.
        """


class Schedule:
    """One for the agent. `after_round` is called by the monitor's thread."""

    def __init__(
        self,
        apps: Apps,
        updates: Automatic,
        checks: Checks,
        choices: Choices,
        records: Records,
        feed: UpdateFeed,
        config: Config,
        *,
        now: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._apps: Final = apps
        self._updates: Final = updates
        self._checks: Final = checks
        self._choices: Final = choices
        self._records: Final = records
        self._feed: Final = feed
        self._config: Final = config
        self._now: Final = now
        self._local: Final = local  # the host's clock on the wall at a moment

    def after_round(self) -> None:
        """Begin what is due. Never raises for what Docker or an app's labels can bring about."""
        if not self._config.auto_update_enabled:
            return
        try:
            apps = self._apps.all()
        except EngineError as error:
            log.warning("automatic updates: apps cannot be listed, next try after the next round: %s", error)
            return
        for app in apps:
            services = () if self._updates.running(app.project) else self.due(app)
            if services:
                self._updates.automatic(app, services, self.due)

    def due(self, app: App) -> Collection[str]:
        """The services of an app that are to be updated now, by themselves; a skip is told."""
        if not opted_in(app, self._choices) or any(_is_protected(member) for member in app.members):
            return ()
        services = self._outdated(app)
        skip = (self._cooldown(app) or self._outside_window(app)) if services else None
        if skip is None:
            return services
        code, message = skip
        log.info("app %s: not updated now: %s", app.name, message)
        self._feed.skipped(app.name, code, message)
        return ()

    def _outdated(self, app: App) -> list[str]:
        """The services with a container that runs and that a newer image may replace now."""
        refusing = [member for member in app.members if _refuses(member)]
        left_out = {member.service for member in refusing}
        checks = {member.id: self._checks.of(member.image, member.image_id) for member in app.members}
        young = [member for member in app.members if self._is_young(app, member, checks[member.id])]
        kept = {member.image for member in (*refusing, *young)}  # a pull would move the tag for all who use it
        due: dict[str, None] = {}
        for member in app.members:
            if member.state != "running" or member.service in left_out or member.image in kept:
                continue
            check = checks[member.id]
            if check.has_update and check.remote_digest != self._choices.quarantined(app.project, member.image):
                due[member.service] = None
        return list(due)

    def _is_young(self, app: App, member: Member, check: Check) -> bool:
        """Whether the newer image of a container is not yet as old as its label asks for."""
        text = self._labels(app, member).get(MIN_AGE, "")
        if not check.has_update or not text.strip():
            return False
        if read_age(text) is None:
            log.warning("container %s: %s=%s is no duration like 72h or 3d; not heeded", member.name, MIN_AGE, text)
        left = seconds_young(text, check.first_seen, self._now())
        if left > 0:
            log.info("app %s: the newer %s waits to be %s old: %s more", app.name, member.image, text, _span(left))
        return left > 0

    def _cooldown(self, app: App) -> Optional[tuple[ErrorCode, str]]:
        """Why not, where an attempt began too shortly before. One that began in the future was by another clock."""
        newest = self._records.newest(app.name)
        if newest is None:
            return None
        since = self._now() - newest.started_at / 1e6
        left = self._config.auto_update_cooldown - since
        if since < 0 or left <= 0:
            return None
        text = f"the last attempt began {_span(since)} ago; the next one may begin in {_span(left)}"
        return ErrorCode.SKIPPED_COOLDOWN, text

    def _outside_window(self, app: App) -> Optional[tuple[ErrorCode, str]]:
        """Why not, where a window of one of its containers is shut: where they differ, all must be open."""
        for text in dict.fromkeys(self._labels(app, member).get(WINDOW, "") for member in app.members):
            window = read_window(text)
            if window is None:
                if text.strip():
                    log.warning("app %s: %s=%s is no window like 02:00-05:00; any time will do", app.name, WINDOW, text)
                continue
            local = self._local(self._now())
            if not window.is_open(local):
                clock = time.strftime("%H:%M", local)
                return ErrorCode.SKIPPED_WINDOW, f"outside the window {window} (it is {clock} on this host)"
        return None

    def _labels(self, app: App, member: Member) -> Mapping[str, str]:
        return self._choices.labels(member, app.project)


def _refuses(member: Member) -> bool:
    """Watchtower's own opt-out: who set it wants no program to update this."""
    return member.labels.get(WATCHTOWER, "").strip().lower() == "false"


def _is_protected(member: Member) -> bool:
    return any(member.labels.get(label, "").strip().lower() == "true" for label in (AGENT_LABEL, PROTECTED_LABEL))


def _span(seconds: float) -> str:
    """A time for people, rounded up."""
    minutes = int(-(-seconds // 60))
    if minutes < 120:
        return f"{minutes} min"
    hours = -(-minutes // 60)
    return f"{hours} h" if hours < 48 else f"{-(-hours // 24)} days"
