"""A service's volumes, configs and secrets as HostConfig has them: Binds, Mounts and Tmpfs.

Coverage 5 and 6; docker compose's pkg/compose/create.go, buildContainerVolumes. `Binds` is used where it can be, as it
makes a missing directory of the host; what it cannot say goes into `Mounts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Optional

from dockpal_agent.compose.project import Entry, Project
from dockpal_agent.containers.mounts import clean

__all__ = ["FILE_KINDS", "file_target", "mount_fields", "old_volumes"]

FILE_KINDS: Final = ("secrets", "configs")
_RECURSIVE: Final = {
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}
_SINCE: Final = {"NonRecursive": (1, 41), "ReadOnlyNonRecursive": (1, 44), "ReadOnlyForceRecursive": (1, 44)}

Version = tuple[int, int]
Point = Mapping[str, Any]


def mount_fields(
    project: Project, entry: Entry, volumes: Mapping[str, str], kept: Mapping[str, Point], version: Version
) -> dict[str, Any]:
    """Binds, Mounts and Tmpfs of HostConfig, those that are not empty.

    `volumes` are Docker's names by key, `kept` the anonymous volumes of the container that is replaced, by target.
    """
    binds: list[str] = []
    specs: dict[str, dict[str, Any]] = {}
    for target, point in kept.items():
        if not any(clean(mount["target"]) == target for mount in entry.get("volumes", ())):
            specs[target] = _kept(point)
    for mount in entry.get("volumes", ()):
        old = kept.get(clean(mount["target"]))
        if mount["type"] == "volume" and not mount.get("source") and old is not None:
            specs[mount["target"]] = {**_spec(mount, volumes, version), "Source": old["Name"]}
        elif _fits_binds(mount, volumes):
            binds.append(_bind(mount, volumes))
        else:
            specs[mount["target"]] = _spec(mount, volumes, version)
    for spec in _files(project, entry, version):
        specs[spec["Target"]] = spec
    tmpfs = {path: options for path, _, options in (text.partition(":") for text in entry.get("tmpfs", ()))}
    fields = {"Binds": binds, "Mounts": list(specs.values()), "Tmpfs": tmpfs}
    return {name: value for name, value in fields.items() if value}


def old_volumes(entry: Entry, image: Optional[Mapping[str, Any]], points: Iterable[Point]) -> dict[str, Point]:
    """The anonymous volumes of a container that its successor takes over, by target: those that the image, or a volume
    without a source, puts where nothing else is mounted now."""
    named = {
        clean(mount["target"])
        for mount in entry.get("volumes", ())
        if mount.get("source") or mount.get("type") != "volume"
    }
    named |= {clean(text.partition(":")[0]) for text in entry.get("tmpfs", ())}
    wanted = {clean(mount["target"]) for mount in entry.get("volumes", ())} - named
    wanted |= {clean(path) for path in ((image or {}).get("Config") or {}).get("Volumes") or {}} - named
    found = {clean(str(point.get("Destination") or "")): point for point in points if point.get("Type") == "volume"}
    return {target: point for target, point in found.items() if target in wanted and point.get("Name")}


def file_target(kind: str, reference: Entry) -> str:
    """Where a config or secret appears in the container."""
    source, target = reference.get("source", ""), reference.get("target", "")
    if kind == "configs":
        return clean(target or f"/{source}")
    return clean(target if target.startswith("/") else f"/run/secrets/{target or source}")


def _kept(point: Point) -> dict[str, Any]:
    spec = {"Type": "volume", "Source": point["Name"], "Target": point["Destination"]}
    return spec if point.get("RW", True) else {**spec, "ReadOnly": True}


def _fits_binds(mount: Entry, volumes: Mapping[str, str]) -> bool:
    if mount["type"] == "bind":
        bind = mount.get("bind")
        if bind is None:
            return True
        return bool(bind.get("create_host_path")) and not bind.get("propagation") and not bind.get("recursive")
    if mount["type"] != "volume" or mount.get("source") not in volumes:
        return False
    options = mount.get("volume") or {}
    return not (options.get("labels") or options.get("subpath") or options.get("nocopy"))


def _bind(mount: Entry, volumes: Mapping[str, str]) -> str:
    source = volumes[mount["source"]] if mount["type"] == "volume" else mount["source"]
    words = ["ro" if mount.get("read_only") else "rw"]
    words += [mount["bind"]["selinux"]] if (mount.get("bind") or {}).get("selinux") else []
    return f"{source}:{mount['target']}:{','.join(words)}"


def _spec(mount: Entry, volumes: Mapping[str, str], version: Version) -> dict[str, Any]:
    """Docker's Mount object."""
    spec: dict[str, Any] = {"Type": mount["type"], "Target": mount["target"]}
    source = mount.get("source", "")
    if source:
        spec["Source"] = volumes.get(source, source) if mount["type"] == "volume" else source
    if mount.get("read_only"):
        spec["ReadOnly"] = True
    if mount.get("consistency"):
        spec["Consistency"] = mount["consistency"]
    if mount["type"] == "bind":
        spec["BindOptions"] = _bind_options(mount.get("bind") or {}, version)
    elif mount["type"] == "volume" and mount.get("volume") is not None:
        spec["VolumeOptions"] = _volume_options(mount["volume"])
    elif mount["type"] == "tmpfs" and mount.get("tmpfs"):
        size = {"SizeBytes": int(mount["tmpfs"]["size"])} if "size" in mount["tmpfs"] else {}
        mode = {"Mode": mount["tmpfs"]["mode"]} if "mode" in mount["tmpfs"] else {}
        spec["TmpfsOptions"] = {**size, **mode}
    elif mount["type"] == "image" and (mount.get("image") or {}).get("subpath"):
        spec["ImageOptions"] = {"Subpath": mount["image"]["subpath"]}
    return spec


def _bind_options(bind: Entry, version: Version) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if bind.get("propagation"):
        options["Propagation"] = bind["propagation"]
    if bind.get("create_host_path") and version >= (1, 42):
        options["CreateMountpoint"] = True
    field = _RECURSIVE.get(bind.get("recursive", ""))
    if field and version >= _SINCE[field]:
        options[field] = True
    return options


def _volume_options(volume: Entry) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, field in (("nocopy", "NoCopy"), ("subpath", "Subpath"), ("labels", "Labels")):
        if volume.get(key):
            options[field] = volume[key]
    return options


def _files(project: Project, entry: Entry, version: Version) -> Iterator[dict[str, Any]]:
    """Configs and secrets that are files of the host: read-only binds."""
    for kind in FILE_KINDS:
        for reference in entry.get(kind, ()):
            path = getattr(project, kind).get(reference.get("source", ""), {}).get("file")
            if path:
                target = file_target(kind, reference)
                options: dict[str, Any] = (
                    {"BindOptions": {}} if kind == "secrets" else {}
                )  # as docker compose sends them
                yield {"Type": "bind", "Source": path, "Target": target, "ReadOnly": True, **options}
