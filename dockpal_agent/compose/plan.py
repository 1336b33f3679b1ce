"""What has to be done so that Docker holds a project: decided from one look, never by asking again; printable.

Coverage 7. Ties are broken by number, then by name, so that two runs give the same plan. What would be lost is never
deleted: a volume whose settings changed is kept, and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Optional

from dockpal_agent.compose.observe import Observed, Seen
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.plan_containers import Decision, decide
from dockpal_agent.compose.plan_resources import Resources, resources
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.pullpolicy import Wanted, wanted_images
from dockpal_agent.compose.refusals import PlanRefused, refusals, warnings_of

__all__ = ["Action", "Plan", "PlanRefused", "plan"]

KINDS: Final = ("image", "network", "volume", "service")


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

    def __str__(self) -> str:
        what = f"{self.name} ({self.container})" if self.container else self.name
        risk = f"; {self.data_at_risk}" if self.data_at_risk else ""
        return f"{self.action:<8} {self.kind:<7} {what}: {self.reason}{risk}"


@dataclass(frozen=True)
class Plan:
    """All decisions, in the order in which they are carried out. str() is one line for each, and for each obstacle.

    `networks` and `volumes` are Docker's names by key, `pulls` the images to get, `orphans` containers of the project
    whose service is gone and which stay.
    """

    project: str
    actions: tuple[Action, ...]
    warnings: tuple[str, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    pulls: tuple[Wanted, ...] = ()
    orphans: tuple[Seen, ...] = ()
    refusal: str = ""  # what Docker holds, and what stands in the way; "" for nothing
    kept_labels: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)  # as in apply.Outcome

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(action.action != "keep" for action in self.actions)

    def of(self, kind: str, *actions: str) -> list[Action]:
        """The decisions of one kind with one of these actions, in order."""
        return [found for found in self.actions if found.kind == kind and found.action in actions]

    def as_json(self) -> dict[str, Any]:
        """The answer of deploy/plan (protocol 13)."""
        return {
            "project": self.project,
            "actions": [_as_json(action) for action in self.actions],
            "warnings": [*self.warnings, *([self.refusal] if self.refusal else [])],
        }

    def __str__(self) -> str:
        refused = (f"{'refuse':<8} {obstacle}" for obstacle in self.refusal.splitlines())
        return "\n".join([*map(str, self.actions), *refused])


def plan(project: Project, observed: Observed, options: Options) -> Plan:
    """Decide. Raises PlanRefused for what can never be done with what Docker holds (an external network missing)."""
    around = resources(project, observed, options)
    images = wanted_images(project, observed, options)
    decided = decide(project, observed, options, around, {wanted.reference for wanted in images})
    decisions = decided.decisions
    actions = [
        *(Action("image", wanted.reference, "pull", wanted.reason) for wanted in images),
        *_of_resources(around),
        *(_of_container(decision) for decision in decisions),
    ]
    gone = {decision.old.id for decision in decisions if decision.action == "remove" and decision.old}
    taken = {decision.old.id for decision in decisions if decision.old}
    orphans = tuple(seen for seen in _orphans(project, observed) if seen.id not in gone | taken)
    problems = refusals(project, observed, options, decisions)
    return Plan(
        project=project.name,
        actions=tuple(actions),
        warnings=(*around.warnings, *warnings_of(project, observed), *_about(orphans)),
        networks=around.network_names,
        volumes=around.volume_names,
        pulls=tuple(images),
        orphans=orphans,
        refusal="\n".join(problems),
        kept_labels=decided.labels,
    )


def _of_resources(around: Resources) -> list[Action]:
    return [
        Action(kind, one.name, one.action, one.reason, data_at_risk=one.data_at_risk)
        for kind, found in (("network", around.networks), ("volume", around.volumes))
        for one in found
    ]


def _of_container(decision: Decision) -> Action:
    return Action(
        "service",
        decision.service,
        decision.action,
        decision.reason,
        container=decision.name,
        number=decision.number,
        old=decision.old,
    )


def _orphans(project: Project, observed: Observed) -> list[Seen]:
    known = {*project.services, *project.disabled}
    return [seen for seen in observed.containers if seen.service not in known and not seen.oneoff]


def _about(orphans: tuple[Seen, ...]) -> tuple[str, ...]:
    if not orphans:
        return ()
    names = " ".join(seen.name for seen in orphans)
    return (
        f"Found orphan containers ([{names}]) for this project: their services are not in the file; they were left",
    )


def _as_json(action: Action) -> dict[str, Any]:
    found = {"kind": action.kind, "name": action.name, "action": action.action, "reason": action.reason}
    if action.container:
        found["container"] = action.container
    if action.data_at_risk:
        found["data_at_risk"] = action.data_at_risk
    return found
