"""What has to be done so that Docker holds a project: decided from one look, never by asking again; printable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from dockpal_agent.compose.observe import Observed, Seen
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Project

__all__ = ["Action", "Plan", "PlanRefused", "plan"]


class PlanRefused(Exception):
    """What is asked for cannot be done with what Docker holds; the text says all that is in the way."""


@dataclass(frozen=True)
class Action:
    """One decision. `kind` is service, network, volume, image; `action` create, start, keep, recreate, remove, pull.

    Of a service, `container` is the container's name, `number` its number, `old` the one that is there.
    """

    kind: str
    name: str
    action: str
    reason: str
    container: str = ""
    data_at_risk: str = ""
    number: int = 0
    old: Optional[Seen] = None


@dataclass(frozen=True)
class Plan:
    """All decisions, in the order in which they are carried out. str() is one line for each."""

    project: str
    actions: tuple[Action, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(action.action != "keep" for action in self.actions)

    def as_json(self) -> dict[str, Any]:
        """The answer of deploy/plan (protocol 13)."""
        raise NotImplementedError


def plan(project: Project, observed: Observed, options: Options) -> Plan:
    """Decide. Raises ComposeUnsupported, PlanRefused."""
    raise NotImplementedError
