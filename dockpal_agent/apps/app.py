"""A project as an app: its containers, of one list of Docker's, folded into services (protocol 5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.compose.labels import (
    CONFIG_HASH,
    ONEOFF,
    ORIGINAL_PROJECT,
    ORIGINAL_SERVICE,
    PROJECT,
    SERVICE,
    number_of,
)
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.containers.aside import is_aside

__all__ = ["App", "Member", "apps_of", "find"]

Listed = Mapping[str, Any]  # an entry of GET /containers/json


@dataclass(frozen=True)
class Member:
    """One container of an app. `image` is the reference it was created from, `labels` are as Docker has them.

    Docker's list shows an image id in the place of a reference that has come to mean another image since.
    """

    id: str
    name: str
    service: str
    number: int
    image: str
    image_id: str
    state: str
    labels: Mapping[str, str]

    @property
    def config_hash(self) -> str:
        """Compose's hash of its service, "" where it has none."""
        return self.labels.get(CONFIG_HASH, "")


@dataclass(frozen=True)
class App:
    """A project. `project` is its name as Docker has it, by which Compose and the stored files go; `name` is as the
    user wrote it. `members` are sorted by service and number; what a replacement under way has set aside is none.
    """

    name: str
    project: str
    members: tuple[Member, ...]

    def services(self) -> dict[str, Member]:
        """The first container of each service, by the services' names in order: replicas fold into it."""
        found: dict[str, Member] = {}
        for member in self.members:
            found.setdefault(member.service, member)
        return found


def apps_of(listed: Iterable[Listed]) -> list[App]:
    """All apps among Docker's containers (`all=1`), sorted by name."""
    members: dict[str, list[Member]] = {}
    names: dict[str, str] = {}
    for entry in listed:
        labels = entry.get("Labels") or {}
        written = str(labels.get(ORIGINAL_PROJECT) or labels.get(PROJECT) or "")
        project = str(labels.get(PROJECT) or normalise_project_name(written))
        member = _member(entry, labels)
        if member is None or not _PROJECT.fullmatch(project):
            continue
        members.setdefault(project, []).append(member)
        if ORIGINAL_PROJECT in labels or project not in names:
            names[project] = written
    found = [
        App(names[project], project, tuple(sorted(each, key=lambda one: (one.service, one.number, one.name))))
        for project, each in members.items()
    ]
    return sorted(found, key=lambda app: app.name)


def find(apps: Iterable[App], name: str) -> Optional[App]:
    """The app that is called so, as the user or as Docker writes it."""
    known = list(apps)
    return next((app for app in known if app.name == name), None) or next(
        (app for app in known if app.project == name), None
    )


_ONE_OFF: Final = ("True", "true")
_PROJECT: Final = re.compile(r"[a-z0-9_-]{1,200}", re.ASCII)  # as Composes make them; it names files of ours


def _member(entry: Listed, labels: Mapping[str, Any]) -> Optional[Member]:
    name = str((entry.get("Names") or [""])[0]).lstrip("/")
    if is_aside(name) or labels.get(ONEOFF) in _ONE_OFF:
        return None
    return Member(
        id=str(entry.get("Id") or ""),
        name=name,
        service=str(labels.get(ORIGINAL_SERVICE) or labels.get(SERVICE) or name),
        number=number_of(labels),
        image=str(entry.get("Image") or ""),
        image_id=str(entry.get("ImageID") or ""),
        state=str(entry.get("State") or ""),
        labels={str(key): str(value) for key, value in labels.items()},
    )
