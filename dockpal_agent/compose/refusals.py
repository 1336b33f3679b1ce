"""What stands in the way of a project, found before anything is touched; and what is not done as written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dockpal_agent.compose.observe import Observed
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Entry, Project

if TYPE_CHECKING:
    from dockpal_agent.compose.plan_containers import Decision

__all__ = ["PlanRefused", "refusals", "warnings_of"]

ANY: Final = ("", "0.0.0.0", "::")


class PlanRefused(Exception):
    """What is asked for cannot be done with what Docker holds; the text says all that is in the way."""


def refusals(project: Project, observed: Observed, options: Options, decisions: Sequence[Decision]) -> list[str]:
    """One line for each obstacle."""
    found = [line for name, entry in project.services.items() for line in _of_service(project, name, entry, observed)]
    found += _names_in_use(observed, decisions)
    if options.start:
        found += _ports_taken(project, observed, decisions)
    return list(dict.fromkeys(found))


def warnings_of(project: Project, observed: Observed) -> list[str]:
    """What is asked for and not done as written, because the Engine is older."""
    found = []
    for name, entry in project.services.items():
        if "start_interval" in entry.get("healthcheck", {}) and observed.api_version < (1, 44):
            found.append(
                f"services.{name}: healthcheck.start_interval needs Docker Engine v25 or later and is left out"
            )
        if entry.get("annotations") and observed.api_version < (1, 43):
            found.append(f"services.{name}: annotations need Docker Engine v24 or later and are left out")
        for kind in ("configs", "secrets"):
            for reference in entry.get(kind, ()):
                is_file = getattr(project, kind).get(reference.get("source", ""), {}).get("file")
                if is_file and any(key in reference for key in ("uid", "gid", "mode")):
                    found.append(
                        f"services.{name}: uid, gid and mode of {kind[:-1]} {reference['source']} have no effect, "
                        "as it is a file of the host"
                    )
    return found


def _of_service(project: Project, name: str, entry: Entry, observed: Observed) -> Iterator[str]:
    version = observed.api_version
    if entry.get("read_only"):
        for kind in ("secrets", "configs"):
            for reference in entry.get(kind, ()):
                source = reference.get("source", "")
                if (kind, source) in project.contents:
                    full = getattr(project, kind)[source]["name"]
                    yield (
                        f'cannot create {kind[:-1]} "{full}" in read-only service {name}: '
                        "`file` is the sole supported option"
                    )
    for mount in entry.get("volumes", ()):
        if mount["type"] == "image" and version < (1, 48):
            yield "volume with type=image require Docker Engine v28 or later"
        if (mount.get("volume") or {}).get("subpath") and version < (1, 45):
            yield "volume with subpath require Docker Engine v26 or later"
    for given in (entry.get("networks") or {}).values():
        if (given or {}).get("gw_priority") and version < (1, 48):
            yield f"services.{name}: gw_priority needs Docker Engine v28 or later"
        if (given or {}).get("interface_name") and version < (1, 49):
            yield f"services.{name}: interface_name needs Docker Engine v28.1 or later"
    if entry.get("container_name") and project.replicas(name) > 1:
        yield (
            f"services.deploy.replicas: can't set container_name and {name} as container name must be unique: "
            f'"{entry["container_name"]}" would be given {project.replicas(name)} times'
        )


def _names_in_use(observed: Observed, decisions: Sequence[Decision]) -> Iterator[str]:
    for decision in decisions:
        if decision.action not in ("create", "recreate"):
            continue
        holder = observed.names.get(decision.name)
        if holder is not None and (decision.old is None or decision.old.id != holder):
            yield (
                f'Conflict. The container name "/{decision.name}" is already in use by container "{holder[:12]}"; '
                "remove or rename that container, or choose another name"
            )


def _ports_taken(project: Project, observed: Observed, decisions: Sequence[Decision]) -> Iterator[str]:
    """Fixed ports of what is to be made or started that another container publishes, and goes on to."""
    leaving = {one.old.id for one in decisions if one.old is not None and one.action in ("recreate", "remove")}
    held: dict[tuple[int, str], list[tuple[str, str, str]]] = {}  # (address, id, name) by port and protocol
    for address, port, protocol, holder, name in observed.published:
        if holder not in leaving:
            held.setdefault((port, protocol), []).append((address, holder, name))
    wanted: dict[tuple[int, str], list[tuple[str, str]]] = {}  # (address, name), in the same way
    for decision in decisions:
        if decision.action not in ("create", "recreate", "start") or decision.service not in project.services:
            continue
        own_id = decision.old.id if decision.old is not None else ""
        for address, port, protocol in _fixed_ports(project.services[decision.service]):
            for other, holder, name in held.get((port, protocol), ()):
                if holder != own_id and _meet(address, other):
                    yield _allocated(address, port, f"container {name} publishes it")
            others = wanted.setdefault((port, protocol), [])
            clash = next((who for other, who in others if who != decision.name and _meet(address, other)), None)
            if clash is not None:
                yield _allocated(address, port, f"{clash} and {decision.name} both ask for it")
            others.append((address, decision.name))


def _allocated(address: str, port: int, why: str) -> str:
    shown = f"[{address}]" if ":" in address else address or "0.0.0.0"
    return f"Bind for {shown}:{port} failed: port is already allocated ({why})"


def _fixed_ports(entry: Entry) -> Iterator[tuple[str, int, str]]:
    if str(entry.get("network_mode", "")) in ("host", "none"):
        return
    for port in entry.get("ports", ()):
        if str(port.get("published", "")).isdigit():
            yield port.get("host_ip", ""), int(port["published"]), port["protocol"]


def _meet(one: str, other: str) -> bool:
    """Whether two addresses of the host cannot have one port: "" is all of IPv4 and of IPv6, which are apart."""
    if one == other:
        return True
    return bool(_families(one) & _families(other)) and (one in ANY or other in ANY)


def _families(address: str) -> set[int]:
    return {4, 6} if not address else {6} if ":" in address else {4}
