"""The labels that only the agent reads (`dockpal.auto-update`, …): a change of one is no reason to restart a container.

Docker cannot change a label in place. So a container that differs from its file in such labels alone is kept, with the
hash of the file that it was made from; what the file says now is told to whoever acts by it. Labels that the agent
writes itself, and those that hold only as far as they are on the container (`dockpal.protected`), are not of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dockpal_agent.compose.hashes import service_hash
from dockpal_agent.compose.labels import CONTENT_HASH, ORIGINAL_PROJECT, ORIGINAL_SERVICE
from dockpal_agent.compose.project import Entry, Project

__all__ = ["AUTO_UPDATE", "after_labels", "agent_labels", "changed_labels", "made_from", "says_itself"]

AUTO_UPDATE: Final = "dockpal.auto-update"

_PREFIX: Final = "dockpal."
_ON_THE_CONTAINER: Final = frozenset(
    {
        *("dockpal.managed", ORIGINAL_PROJECT, ORIGINAL_SERVICE, "dockpal.compose", CONTENT_HASH),
        *("dockpal.agent", "dockpal.protected"),  # containers/own.py
    }
)

Labels = Mapping[str, str]


def agent_labels(labels: Labels) -> dict[str, str]:
    """Those of the labels that only the agent reads."""
    return {key: text for key, text in labels.items() if key.startswith(_PREFIX) and key not in _ON_THE_CONTAINER}


def made_from(entry: Entry, config_hash: str, found: Labels, of_image: Labels) -> bool:
    """Whether a container with these labels was made from this service, were it not for labels that only we read.

    Docker Compose's hash decides, so nothing else can differ. `entry` is resolved; `of_image` are the labels of the
    container's image, which Docker shows among the container's own.
    """
    theirs = agent_labels(found)
    wanted = entry.get("labels") or {}
    asked_for = {key: text for key, text in theirs.items() if of_image.get(key) != text}
    repeated = {key: text for key, text in theirs.items() if key in asked_for or key in wanted}
    attempts = {tuple(sorted(labels.items())): labels for labels in (theirs, asked_for, repeated)}
    return any(service_hash(_with(entry, labels)) == config_hash for labels in attempts.values())


def changed_labels(entry: Entry, found: Labels, of_image: Labels) -> dict[str, str]:
    """What a kept container's labels would be now, where they differ; "" where the file does not have it any more."""
    now = {**agent_labels(of_image), **agent_labels(entry.get("labels") or {})}
    then = agent_labels(found)
    return {key: now.get(key, "") for key in sorted({*now, *then}) if now.get(key) != then.get(key)}


def says_itself(project: Project) -> bool:
    """Whether any service of the file, profiles aside, says itself if it wants to be updated."""
    services = (*project.services.values(), *project.disabled.values())
    return any(AUTO_UPDATE in (entry.get("labels") or {}) for entry in services)


def _with(entry: Entry, labels: Labels) -> Entry:
    """The service with these in the place of its own labels of our kind, its keys in Compose's order."""
    own = entry.get("labels") or {}
    kept = {key: text for key, text in own.items() if key not in agent_labels(own)}
    made = dict(sorted({**kept, **labels}.items()))
    if "labels" in entry:
        return {key: made if key == "labels" else value for key, value in entry.items() if key != "labels" or made}
    if not made:
        return entry
    before = {key: value for key, value in entry.items() if not after_labels(key)}
    after = {key: value for key, value in entry.items() if after_labels(key)}
    return {**before, "labels": made, **after}


def after_labels(key: str) -> bool:
    """Whether an attribute of a service comes after `labels` in what Compose hashes."""
    return key == "label_file" or (key > "labels" and key not in ("profiles", "provider"))
