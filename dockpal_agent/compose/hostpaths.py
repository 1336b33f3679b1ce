"""Paths of the host, as seen from an agent that is in a container itself.

A relative bind of a project means a folder beside the project's file, on the host. The agent's own mounts say which
folder that is. Where none covers it, Docker would make an empty directory somewhere else: that is refused instead.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine, containers

__all__ = ["HostPaths", "host_paths"]


@dataclass(frozen=True)
class HostPaths:
    """(path here, path on the host) of each mount of the agent's container; `contained` False where it has none."""

    mounts: tuple[tuple[str, str], ...] = ()
    contained: bool = True

    def on_host(self, path: str) -> Optional[str]:
        """The host's path of an absolute path here; None where no mount covers it."""
        if not self.contained:
            return posixpath.normpath(path)
        return _translated(posixpath.normpath(path), self.mounts)

    def here(self, path: str) -> Optional[str]:
        """The path here of an absolute path of the host; None where no mount shows it."""
        if not self.contained:
            return posixpath.normpath(path)
        return _translated(posixpath.normpath(path), ((host, inside) for inside, host in self.mounts))


def host_paths(engine: Engine, own: OwnContainer) -> HostPaths:
    """The mounts of the agent's own container. Raises EngineError."""
    own_id = own.id()
    if own_id is None:
        return HostPaths(contained=False)
    return HostPaths(_mounts(containers.inspect(engine, own_id)))


def _mounts(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Binds and volumes; a volume's Source is its folder on the host, too."""
    return tuple(
        (posixpath.normpath(str(point["Destination"])), posixpath.normpath(str(point["Source"])))
        for point in found.get("Mounts") or ()
        if point.get("Type") in ("bind", "volume") and point.get("Source") and point.get("Destination")
    )


def _translated(path: str, pairs: Iterable[tuple[str, str]]) -> Optional[str]:
    """By the longest mount that the path is at or below."""
    best: Optional[tuple[str, str]] = None
    for source, target in pairs:
        covers = path == source or path.startswith(source.rstrip("/") + "/")
        if covers and (best is None or len(source) > len(best[0])):
            best = (source, target)
    if best is None:
        return None
    rest = path[len(best[0].rstrip("/")) :]
    return posixpath.normpath(best[1] + rest) if rest.strip("/") else best[1]
