"""All apps of the host, and what the Server shows of them (protocol 5.1): one Engine call, and what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Optional

from dockpal_agent.apps.app import App, Member, apps_of, find
from dockpal_agent.apps.checks import Check, Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.records import Records
from dockpal_agent.containers.created_from import CreatedFrom
from dockpal_agent.engine import Engine, containers

__all__ = ["AUTO_UPDATE", "Apps", "NoSuchApp", "opted_in"]

AUTO_UPDATE: Final = "dockpal.auto-update"


class NoSuchApp(Exception):
    """There is no container of an app of this name; the text is the one that the Server shows."""

    def __init__(self, name: str) -> None:
        super().__init__("app not found")
        self.name: Final = name


class Apps:
    """Lists apps. Any thread may ask; nothing is kept but what containers were created from."""

    def __init__(
        self,
        engine: Engine,
        checks: Checks,
        choices: Choices,
        records: Records,
        created_from: Optional[CreatedFrom] = None,
    ) -> None:
        self._engine: Final = engine
        self._checks: Final = checks
        self._choices: Final = choices
        self._records: Final = records
        self._created_from: Final = created_from or CreatedFrom(engine)

    def all(self) -> list[App]:
        """All apps, stopped ones too, by name. Raises EngineError."""
        return apps_of(self._created_from.named(containers.list_containers(self._engine, all=True)))

    def find(self, name: str) -> App:
        """The app that is called so, as the user or as Docker writes it. Raises NoSuchApp, EngineError."""
        app = find(self.all(), name)
        if app is None:
            raise NoSuchApp(name)
        return app

    def list(self) -> list[dict[str, Any]]:
        """AppSummary of all apps. Raises EngineError."""
        return [self._summary(app) for app in self.all()]

    def _summary(self, app: App) -> dict[str, Any]:
        services = [self._service(name, members) for name, members in _by_service(app.members).items()]
        summary: dict[str, Any] = {
            "name": app.name,
            "services": services,
            "auto_update": opted_in(app, self._choices),
            "has_update": any(service["has_update"] for service in services),
        }
        newest = self._records.newest(app.name)
        if newest is not None:
            summary["last_update"] = newest.as_json(events=False)
        return summary

    def _service(self, name: str, members: Sequence[Member]) -> dict[str, Any]:
        """Replicas fold into the first; an image is outdated where any of them runs an outdated one, whose digests
        are shown then.
        """
        first = members[0]
        checks = [self._checks.of(member.image, member.image_id) for member in members]
        check = next((each for each in checks if each.has_update), checks[0])
        return {
            "name": name,
            "image": first.image,
            "state": first.state,
            "has_update": check.has_update,
            **_digests(check),
        }


def opted_in(app: App, choices: Choices) -> bool:
    """Whether the app updates by itself: the user's switch, else the label on any of its containers."""
    switch = choices.switch(app.project)
    if switch is not None:
        return switch
    return any(_says_yes(choices.labels(member, app.project)) for member in app.members)


def _says_yes(labels: Mapping[str, str]) -> bool:
    return labels.get(AUTO_UPDATE, "").strip().lower() == "true"


def _by_service(members: Iterable[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for member in members:
        found.setdefault(member.service, []).append(member)
    return found


def _digests(check: Check) -> dict[str, str]:
    digests = {"local_digest": check.local_digest, "remote_digest": check.remote_digest}
    return {name: digest for name, digest in digests.items() if digest}
