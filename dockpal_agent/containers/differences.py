"""What an edit really changes of a container; pure functions of Docker's inspect and what is asked for.

Each answers with what a create is to be told instead, or None where the form only sent back what is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Optional

from dockpal_agent.containers.defaults import environment
from dockpal_agent.containers.edit import PortRow, VolumeRow
from dockpal_agent.containers.mounts import Bind, clean, read_bind

__all__ = ["changed_env", "changed_ports", "changed_volumes", "limits", "swap_for"]

Binding = Mapping[str, Any]
UNLIMITED: Final = -1  # MemorySwap


def changed_env(old: Mapping[str, Any], wanted: Iterable[str], image: Mapping[str, Any]) -> Optional[list[str]]:
    """The new Env. `image` is the config of the old image: what it sets comes back when it is left out."""
    entries = list(wanted)
    given = environment(image.get("Env"))
    current = environment((old.get("Config") or {}).get("Env"))
    return None if {**given, **environment(entries)} == {**given, **current} else entries


def changed_ports(
    old: Mapping[str, Any], wanted: frozenset[PortRow], image: Mapping[str, Any]
) -> Optional[tuple[dict[str, list[Binding]], dict[str, Any]]]:
    """The new (PortBindings, ExposedPorts).

    The form shows a port that Docker chose with its number of the moment, and one that has none at the moment not at
    all. It shows no host address: a row that stays keeps its own, and one whose host port alone was changed too.
    """
    bindings: dict[str, list[Binding]] = dict((old.get("HostConfig") or {}).get("PortBindings") or {})
    shown = {key: [_shown(old, key, binding) for binding in found or ()] for key, found in bindings.items()}
    everything = {row for rows in shown.values() for group in rows for row in group} | _all_published(old, bindings)
    if wanted == everything:
        return None
    kept: dict[str, list[Binding]] = {}
    for key, found in bindings.items():
        stays = [binding for binding, rows in zip(found or (), shown[key]) if not rows or rows & wanted]
        if stays:
            kept[key] = stays
    for row in sorted(wanted - everything):
        address = _address_of_replaced(bindings.get(row.key) or (), kept.get(row.key) or ())
        kept.setdefault(row.key, []).append({"HostIp": address, "HostPort": str(row.host_port)})
    exposed = dict((old.get("Config") or {}).get("ExposedPorts") or {})
    for key in bindings:
        if key not in kept and key not in (image.get("ExposedPorts") or {}):
            exposed.pop(key, None)
    return kept, {**exposed, **{key: {} for key in kept}}


def changed_volumes(
    old: Mapping[str, Any], host: Mapping[str, Any], wanted: Iterable[VolumeRow], image: Mapping[str, Any]
) -> Optional[tuple[dict[str, Any], list[str]]]:
    """(new HostConfig, targets that are no anonymous volumes of the user's any more). `host` is the pinned one.

    What the form cannot show (tmpfs) stays; so does a volume that the image declares, as it cannot be taken away.
    """
    points = {clean(str(point["Destination"])): point for point in old.get("Mounts") or () if point.get("Source")}
    rows = {clean(row.container_path): row for row in wanted}
    declared = {clean(target) for target in image.get("Volumes") or {}}
    gone = {target for target in points if target not in rows and target not in declared}
    moved = {target for target, row in rows.items() if target not in points or not _same_source(row, points[target])}
    turned = {
        target: rows[target].read_only
        for target in rows
        if target not in moved and rows[target].read_only == bool(points[target].get("RW", True))
    }
    if not (gone or moved or turned):
        return None
    leave = gone | moved
    binds = [read_bind(text) for text in host.get("Binds") or ()]
    binds = [_turned(bind, turned) for bind in binds if clean(bind.target) not in leave]
    specs = [dict(spec) for spec in host.get("Mounts") or () if clean(str(spec.get("Target") or "")) not in leave]
    for spec in specs:
        target = clean(str(spec.get("Target") or ""))
        if target in turned:
            spec["ReadOnly"] = turned[target]
    names = {clean(str(point["Source"])): str(point["Name"]) for point in points.values() if point.get("Name")}
    binds += [_bind_of(rows[target], names) for target in rows if target in moved]
    tmpfs = {target: options for target, options in (host.get("Tmpfs") or {}).items() if clean(target) not in moved}
    changed = {**host, "Binds": [bind.text for bind in binds], "Mounts": specs, "VolumesFrom": None}
    if host.get("Tmpfs"):
        changed["Tmpfs"] = tmpfs
    return changed, sorted(leave)


def limits(host: Mapping[str, Any], memory: Optional[int], nano_cpus: Optional[int]) -> dict[str, int]:
    """The fields of HostConfig that change with these limits; None leaves one as it is, 0 takes it away."""
    changed: dict[str, int] = {}
    if memory is not None and memory != (host.get("Memory") or 0):
        changed["Memory"] = memory
        changed["MemorySwap"] = swap_for(host, memory)
    if nano_cpus is not None and nano_cpus != (host.get("NanoCpus") or 0):
        changed["NanoCpus"] = nano_cpus
        if host.get("CpuQuota") or host.get("CpuPeriod"):  # the older way to say it; Docker takes one or the other
            changed.update({"CpuQuota": 0, "CpuPeriod": 0})
    return changed


def swap_for(host: Mapping[str, Any], memory: int) -> int:
    """MemorySwap (memory and swap together) for a new memory limit, so that the user's choice stays the same.

    Unlimited stays unlimited. Docker's own default, twice the memory, stays twice. Else the swap alone stays as large.
    """
    before, total = int(host.get("Memory") or 0), int(host.get("MemorySwap") or 0)
    if total == UNLIMITED:
        return UNLIMITED
    if memory == 0:
        return 0
    if before == 0 or total == 0 or total == 2 * before:
        return 2 * memory
    return memory + max(total - before, 0)


def _shown(old: Mapping[str, Any], key: str, binding: Binding) -> set[PortRow]:
    """The rows that the form shows for one binding."""
    port, _, protocol = key.partition("/")
    text = str(binding.get("HostPort") or "")
    if text.isdigit() and text != "0":
        return {PortRow(int(text), int(port), protocol or "tcp")}
    chosen = _published(old).get(key) or ()
    bindings = (old.get("HostConfig") or {}).get("PortBindings") or {}
    fixed = {str(other.get("HostPort")) for other in bindings.get(key) or ()}
    address = binding.get("HostIp") or ""
    return {
        PortRow(int(actual["HostPort"]), int(port), protocol or "tcp")
        for actual in chosen
        if str(actual.get("HostPort") or "").isdigit()
        and actual["HostPort"] not in fixed
        and (not address or actual.get("HostIp") == address)
    }


def _all_published(old: Mapping[str, Any], bindings: Mapping[str, Any]) -> set[PortRow]:
    """The rows of ports that PublishAllPorts published."""
    rows = set()
    for key, chosen in _published(old).items():
        port, _, protocol = key.partition("/")
        for actual in chosen or () if key not in bindings else ():
            rows.add(PortRow(int(actual["HostPort"]), int(port), protocol or "tcp"))
    return rows


def _published(old: Mapping[str, Any]) -> Mapping[str, Any]:
    return (old.get("NetworkSettings") or {}).get("Ports") or {}


def _address_of_replaced(before: Iterable[Binding], kept: Iterable[Binding]) -> str:
    """The host address of the bindings of one container port that go, if it is one: the form cannot have changed it."""
    stays = list(kept)
    addresses = {str(binding.get("HostIp") or "") for binding in before if binding not in stays}
    return addresses.pop() if len(addresses) == 1 else ""


def _same_source(row: VolumeRow, point: Mapping[str, Any]) -> bool:
    return clean(row.host_path) == clean(str(point["Source"])) or row.host_path == point.get("Name")


def _turned(bind: Bind, turned: Mapping[str, bool]) -> Bind:
    target = clean(bind.target)
    return bind.with_access(read_only=turned[target]) if target in turned else bind


def _bind_of(row: VolumeRow, names: Mapping[str, str]) -> Bind:
    """A named volume comes back as its path on the host: it is the volume that is meant."""
    source = names.get(clean(row.host_path), row.host_path)
    return Bind(source, row.container_path, ("ro",) if row.read_only else ())
