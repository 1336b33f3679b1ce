"""What becomes of each container of a project: kept, started, made anew, made, removed.

Coverage 7, keep or recreate; docker compose's pkg/compose/convergence.go, ensureService and mustRecreate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from dockpal_agent.compose import labels
from dockpal_agent.compose.agentlabels import changed_labels, made_from
from dockpal_agent.compose.desired import Surroundings, container_name, container_request, parents_of, resolved
from dockpal_agent.compose.effective import same_settings
from dockpal_agent.compose.hashes import service_hash
from dockpal_agent.compose.observe import Observed, Seen
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.plan_resources import Resources
from dockpal_agent.compose.project import Entry, Project

__all__ = ["Decided", "Decision", "KeptLabels", "decide"]

KeptLabels = dict[str, dict[str, dict[str, str]]]  # {service: {config hash of a container: {label: text}}}


@dataclass(frozen=True)
class Decision:
    """What becomes of one container: `action` is create, start, keep, recreate or remove, `name` its name then."""

    service: str
    number: int
    name: str
    action: str
    reason: str
    old: Optional[Seen] = None


@dataclass(frozen=True)
class Decided:
    """All containers: those that stay or are made in the order of their dependencies, then those that go.

    `labels` is what the file says now of kept containers whose labels it cannot change (agentlabels.py).
    """

    decisions: tuple[Decision, ...]
    labels: KeptLabels


@dataclass
class _Draft:
    """What is known while services are gone through, dependencies first."""

    project: Project
    observed: Observed
    options: Options
    around: Resources
    pulled: Collection[str]
    parents: dict[str, str] = field(default_factory=dict)  # ids of the first containers that stay
    remade: set[str] = field(default_factory=set)  # services of which a container is made anew
    labels: KeptLabels = field(default_factory=dict)


def decide(
    project: Project, observed: Observed, options: Options, around: Resources, pulled: Collection[str]
) -> Decided:
    """What becomes of each container."""
    draft = _Draft(project, observed, options, around, pulled)
    stay: list[Decision] = []
    go: list[Decision] = []
    for service in project.order():
        for decision in _service(draft, service):
            (go if decision.action == "remove" else stay).append(decision)
    stay = [_restarted(draft, decision) for decision in stay]
    taken = {decision.old.id for decision in stay if decision.old}
    if options.remove_orphans:
        known = {*project.services, *project.disabled}
        go += [
            Decision(seen.service, seen.number, seen.name, "remove", "its service is not in the file", seen)
            for seen in observed.containers
            if seen.service not in known and seen.id not in taken and not seen.oneoff
        ]
    return Decided((*stay, *go), draft.labels)


def _service(draft: _Draft, service: str) -> list[Decision]:
    project = draft.project
    wanted = project.replicas(service)
    there = [seen for seen in draft.observed.containers if seen.service == service and not seen.oneoff]
    reasons = {seen.id: _why_recreate(draft, service, seen) for seen in there}
    there.sort(key=lambda seen: (bool(reasons[seen.id]), seen.original, seen.number, seen.name))
    decisions = []
    for seen in there[:wanted]:
        number = seen.number or _next_number(there)
        decisions.append(_existing(draft, service, number, seen, reasons[seen.id]))
    decisions += [
        Decision(service, seen.number, seen.name, "remove", f"the service is scaled to {wanted}", seen)
        for seen in there[wanted:]
    ]
    first = _next_number(there)
    for number in range(first, first + wanted - len(there)):
        decisions.append(_new(draft, service, number))
    _note_parent(draft, service, decisions)
    return decisions


def _next_number(there: Iterable[Seen]) -> int:
    return max((seen.number for seen in there), default=0) + 1


def _new(draft: _Draft, service: str, number: int) -> Decision:
    """One that is missing; an orphan that has its exact name gives way to it."""
    name = container_name(draft.project, service, number)
    known = {*draft.project.services}
    holder = next((seen for seen in draft.observed.containers if seen.name == name and seen.service not in known), None)
    if holder is not None and not holder.oneoff:
        return Decision(service, number, name, "recreate", f"it takes the place of service {holder.service}", holder)
    return Decision(service, number, name, "create", "it is missing")


def _existing(draft: _Draft, service: str, number: int, seen: Seen, reason: str) -> Decision:
    if reason:
        name = container_name(draft.project, service, number)
        return Decision(service, number, name, "recreate", reason, seen)
    _note_labels(draft, service, seen)
    if not draft.options.start or draft.options.leave_stopped or seen.state in ("running", "restarting"):
        return Decision(service, number, seen.name, "keep", "unchanged", seen)
    return Decision(service, number, seen.name, "start", f"it is {seen.state}", seen)


def _note_labels(draft: _Draft, service: str, seen: Seen) -> None:
    """What the file says of a kept container in labels that it cannot be given any more."""
    entry, of_image = draft.project.services[service], _image_labels(draft, service)
    changed = changed_labels(entry, seen.labels, of_image)
    config_hash = seen.labels.get(labels.CONFIG_HASH, "")
    if changed and config_hash != service_hash(resolved(entry, draft.parents)):
        draft.labels.setdefault(service, {})[config_hash] = changed


def _image_labels(draft: _Draft, service: str) -> Mapping[str, str]:
    image = draft.observed.images.get(draft.project.services[service].get("image", "")) or {}
    return (image.get("Config") or {}).get("Labels") or {}


def _note_parent(draft: _Draft, service: str, decisions: list[Decision]) -> None:
    stay = sorted((one for one in decisions if one.action != "remove"), key=lambda one: one.number)
    first = stay[0] if stay else None
    if first is not None and first.action in ("keep", "start") and first.old is not None:
        draft.parents[service] = first.old.id
    if any(one.action in ("recreate", "create") for one in stay):
        draft.remade.add(service)


def _restarted(draft: _Draft, decision: Decision) -> Decision:
    """A container whose dependency is made anew is stopped before, and started again, where `restart: true` says so."""
    if decision.action != "keep" or not draft.options.start:
        return decision
    if draft.options.leave_stopped and (decision.old is None or decision.old.state not in ("running", "restarting")):
        return decision
    recreated = draft.remade & set(_existing_services(draft))
    for need in draft.project.dependencies(decision.service):
        if need.restart and need.service in recreated:
            reason = f"it restarts with {need.service}"
            return Decision(decision.service, decision.number, decision.name, "start", reason, decision.old)
    return decision


def _existing_services(draft: _Draft) -> set[str]:
    return {seen.service for seen in draft.observed.containers}


def _why_recreate(draft: _Draft, service: str, seen: Seen) -> str:
    """The reason for which a container has to be made anew, "" for none."""
    entry = draft.project.services[service]
    if seen.original:
        return "the original agent made it"
    if draft.options.force_recreate:
        return "asked for"
    gone = next((parent for parent in parents_of(entry) if parent not in draft.parents), None)
    if gone is not None:
        return f"{gone}, in which it lives, is made anew"
    image = _why_image(draft, service, seen)
    if image:
        return image
    complete = resolved(entry, draft.parents)
    config_hash = seen.labels.get(labels.CONFIG_HASH, "")
    if (
        config_hash != service_hash(complete)
        and not made_from(complete, config_hash, seen.labels, _image_labels(draft, service))
        and not _same_settings(draft, service, seen)
    ):
        return "its settings changed"
    contents = labels.content_hash(draft.project, service)
    if contents and seen.labels.get(labels.CONTENT_HASH, contents) != contents:
        return "the content of its configs or secrets changed"
    return _why_networks(draft, entry, seen) or _why_volumes(draft, entry, seen)


def _why_image(draft: _Draft, service: str, seen: Seen) -> str:
    reference = draft.project.services[service].get("image", "")
    if reference in draft.pulled:
        image = draft.observed.images.get(reference)
        return "" if image is not None else "its image is missing"
    return "its image changed" if draft.options.takes_new_image(service) and _has_moved(draft, reference, seen) else ""


def _has_moved(draft: _Draft, reference: str, seen: Seen) -> bool:
    """Whether the reference means another image than the container's."""
    now = str((draft.observed.images.get(reference) or {}).get("Id") or "")
    return bool(now) and seen.labels.get(labels.IMAGE, seen.image_id) != now


def _same_settings(draft: _Draft, service: str, seen: Seen) -> bool:
    """Whether a container whose hash another version of docker compose made is what it should be all the same.

    One that is to keep its image although the reference has moved on counts as such: what its own image brought cannot
    be told from what was asked for. The next deploy looks again.
    """
    if seen.detail is None or seen.labels.get(labels.VERSION) == draft.options.version_label:
        return False
    reference = draft.project.services[service].get("image", "")
    if not draft.options.takes_new_image(service) and _has_moved(draft, reference, seen):
        return True
    image = draft.observed.images.get(reference)
    around = _surroundings(draft)
    request = container_request(draft.project, service, seen.number, around, seen.mounts)
    return same_settings(request, seen.detail, image or {})


def _surroundings(draft: _Draft) -> Surroundings:
    return Surroundings(
        options=draft.options,
        version=draft.observed.api_version,
        networks=draft.around.network_names,
        volumes=draft.around.volume_names,
        images=draft.observed.images,
        parents=draft.parents,
        names=_names(draft),
    )


def _names(draft: _Draft) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for seen in draft.observed.containers:
        if not seen.oneoff:
            found.setdefault(seen.service, []).append(seen.name)
    return found


def _why_networks(draft: _Draft, entry: Entry, seen: Seen) -> str:
    """One that was never started has no endpoint yet, and finds its networks by name when it is."""
    attached = set(seen.networks.values())
    if attached <= {""} and seen.state != "running":
        return ""
    for key in entry.get("networks") or {}:
        if draft.around.network_ids.get(key) not in attached:
            return f"it is not in network {draft.around.network_names.get(key, key)}"
    return ""


def _why_volumes(draft: _Draft, entry: Entry, seen: Seen) -> str:
    mounted = {str(point.get("Name")) for point in seen.mounts if point.get("Type") == "volume"}
    for mount in entry.get("volumes", ()):
        name = draft.around.volume_names.get(mount.get("source", ""))
        if mount["type"] == "volume" and name is not None and name not in mounted:
            return f"volume {name} is not mounted"
    return ""
