"""A container's mounts as its successor gets them: the same volumes, anonymous ones by their names.

Docker keeps them in four places: HostConfig.Binds (texts), HostConfig.Mounts (objects), Tmpfs, VolumesFrom; and shows
what came of it as Mounts (MountPoint: Type, Name, Source, Destination, RW). A *spec* is an entry of the first two.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional

__all__ = ["Bind", "clean", "pin", "read_bind"]


class Bind(NamedTuple):
    """An entry of HostConfig.Binds: `source:target[:options]`; the source is a path, a volume, or "" (anonymous)."""

    source: str
    target: str
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As HostConfig.Binds has it."""
        return ":".join(part for part in (self.source, self.target, ",".join(self.options)) if part)

    def with_access(self, *, read_only: bool) -> Bind:
        """The same, read-only or not."""
        others = tuple(option for option in self.options if option not in ("ro", "rw"))
        return self._replace(options=(*others, "ro") if read_only else others)


def read_bind(text: str) -> Bind:
    """Read an entry of HostConfig.Binds."""
    parts = text.split(":")
    if len(parts) == 1:
        return Bind("", parts[0])
    return Bind(parts[0], parts[1], tuple(option for option in ":".join(parts[2:]).split(",") if option))


def clean(path: str) -> str:
    """A path as Docker compares destinations: without doubled or trailing slashes."""
    return posixpath.normpath(path).replace("//", "/") if path else ""


def pin(host: Mapping[str, Any], points: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """HostConfig with every volume that no spec names (anonymous ones, those of VolumesFrom) mounted by its name.

    `points` are the inspect's Mounts. What a spec of the old container names stays word for word.
    """
    by_target = {clean(str(point.get("Destination") or "")): point for point in points}
    binds = [_named_bind(text, by_target) for text in host.get("Binds") or ()]
    specs = [_named_spec(spec, by_target) for spec in host.get("Mounts") or ()]
    known = {clean(read_bind(text).target) for text in binds}
    known |= {clean(str(spec.get("Target") or "")) for spec in specs}
    known |= {clean(target) for target in host.get("Tmpfs") or {}}
    for target, point in by_target.items():
        if target in known:
            continue
        if point.get("Type") == "volume" and point.get("Name"):
            specs.append(_volume(point))
        elif point.get("Type") == "bind" and point.get("Source"):  # of VolumesFrom
            binds.append(_host_path(point))
    pinned = dict(host)
    if binds or host.get("Binds"):
        pinned["Binds"] = binds
    if specs or host.get("Mounts"):
        pinned["Mounts"] = specs
    return pinned


def _named_bind(text: str, by_target: Mapping[str, Mapping[str, Any]]) -> str:
    """`/data` alone is an anonymous volume."""
    bind = read_bind(text)
    name = _volume_at(bind.target, by_target)
    return text if bind.source or not name else bind._replace(source=name).text


def _named_spec(spec: Mapping[str, Any], by_target: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A volume without a source is an anonymous one; its options (a subpath, labels) stay."""
    named = dict(spec)
    name = _volume_at(str(spec.get("Target") or ""), by_target)
    if spec.get("Type") == "volume" and not spec.get("Source") and name:
        named["Source"] = name
    return named


def _volume_at(target: str, by_target: Mapping[str, Mapping[str, Any]]) -> Optional[str]:
    point = by_target.get(clean(target)) or {}
    return str(point["Name"]) if point.get("Type") == "volume" and point.get("Name") else None


def _volume(point: Mapping[str, Any]) -> dict[str, Any]:
    spec = {"Type": "volume", "Source": point["Name"], "Target": point["Destination"]}
    return spec if point.get("RW", True) else {**spec, "ReadOnly": True}


def _host_path(point: Mapping[str, Any]) -> str:
    options = [str(point[key]) for key in ("Mode", "Propagation") if point.get(key)]
    words = tuple(dict.fromkeys(word for option in options for word in option.split(",")))
    bind = Bind(str(point["Source"]), str(point["Destination"]), words)
    return bind.with_access(read_only=not point.get("RW", True)).text
