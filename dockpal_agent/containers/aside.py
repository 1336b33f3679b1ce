"""The names that a replacement gives for a while, so that Docker alone tells what it was about.

    3f2a…_web.dockpal-new.running    the new container, made to replace the one whose id begins with 3f2a…
    9c41…_web.dockpal-old.running    the old container, set aside for the one whose id begins with 9c41…

The last part is the state that `web` was in and is to be in again. Docker Compose's own temporary name (`3f2a…_web`) is
not used: what `docker compose up` is doing on the host at this moment is not ours to settle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Optional

__all__ = ["FILTER", "NOBODY", "Aside", "Was", "is_aside", "name_for_new", "name_for_old", "read", "was"]

FILTER: Final = {"name": r"\.dockpal-(new|old)\."}  # of GET /containers/json; Docker takes a regular expression
NOBODY: Final = "0" * 12
_NAME: Final = re.compile(r"([0-9a-f]{12})_(.+)\.dockpal-(new|old)\.(running|paused|stopped)", re.ASCII)


class Was(Enum):
    """The state a container was in when its replacement began, and is to be in afterwards."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"  # exited, created, dead: it is not started

    @property
    def ran(self) -> bool:
        """Whether there were processes."""
        return self is not Was.STOPPED


@dataclass(frozen=True)
class Aside:
    """What a temporary name says. `other` is the first 12 digits of the id of the other one of the pair."""

    name: str
    other: str
    new: bool
    was: Was


def name_for_new(old_id: str, name: str, was: Was) -> str:
    """The name under which the successor of `old_id`, called `name`, is created; without an old one the id is zeros."""
    return f"{old_id[:12] or NOBODY}_{name}.dockpal-new.{was.value}"


def name_for_old(new_id: str, name: str, was: Was) -> str:
    """The name that the old container, called `name`, bears while `new_id` is being proven."""
    return f"{new_id[:12]}_{name}.dockpal-old.{was.value}"


def read(name: str) -> Optional[Aside]:
    """What a container's name says; None for a name that no replacement gave."""
    match = _NAME.fullmatch(name.lstrip("/"))
    if match is None:
        return None
    return Aside(match.group(2), match.group(1), match.group(3) == "new", Was(match.group(4)))


def is_aside(name: str) -> bool:
    """Whether a container of this name is one half of a replacement that is under way."""
    return read(name) is not None


def was(found: Mapping[str, Any]) -> Was:
    """The state of an inspected container, as a replacement keeps it. One in a restart loop counts as running."""
    state = found.get("State") or {}
    if state.get("Paused"):
        return Was.PAUSED
    return Was.RUNNING if state.get("Running") or state.get("Restarting") else Was.STOPPED
