"""Where a path leads within a container: links followed inside its own root, mounts known, nothing guessed.

The archive API mounts the container's file system and volumes anew, for itself. It does not see what exists only in the
running container's namespace: a tmpfs, /proc, /sys, /dev. Reading there finds nothing, and writing there would succeed
under the mount, where nobody ever looks. So each place says whether such a mount hides it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Optional

from dockpal_agent.engine import DaemonFailed, Engine, NotFound, archive
from dockpal_agent.engine import containers as engine_containers
from dockpal_agent.engine.archive import PathStat
from dockpal_agent.files.errors import PathNotFound, WrongKind
from dockpal_agent.files.paths import is_below, join

__all__ = ["Container", "Place", "examine", "find", "look"]

LINK_LIMIT: Final = 40  # links on one way, as in Linux
KERNEL: Final = ("/proc", "/sys", "/dev")  # mounted into every running container


@dataclass(frozen=True)
class Container:
    """What matters of a container: whether programs can run in it, and what is mounted where.

    `hidden` are mounts that the archive API does not see, `seen` those that it does (volumes and binds).
    """

    id: str
    name: str
    state: str
    can_exec: bool
    hidden: tuple[str, ...]
    seen: tuple[str, ...]

    def hides(self, path: str) -> str:
        """The hidden mount on which `path` lies, "" for none: of nested mounts the innermost decides."""
        nearest = max((mount for mount in self.hidden + self.seen if is_below(path, mount)), key=len, default="")
        return nearest if nearest in self.hidden else ""


@dataclass(frozen=True)
class Place:
    """The end of a path. `path` has no links left in it; `stat` is None where nothing is (its directory is there then).

    `hidden` is the mount that hides it from the archive API; in a running container `stat` is then unknown, and None.
    """

    container: Container
    path: str
    stat: Optional[PathStat]
    hidden: str = ""


def examine(engine: Engine, container: str) -> Container:
    """Inspect a container for its mounts. Raises NotFound."""
    found = engine_containers.inspect(engine, container)
    state = found.get("State") or {}
    running = bool(state.get("Running")) and not state.get("Paused") and not state.get("Restarting")
    tmpfs, seen = _mounts(found)
    bare = Container(
        id=str(found["Id"]),
        name=str(found.get("Name") or container).lstrip("/"),
        state=str(state.get("Status") or "unknown"),
        can_exec=running,
        hidden=(),
        seen=tuple(seen),
    )
    hidden = {*KERNEL, *tmpfs, *(_real(engine, bare, mount) for mount in tmpfs)}
    return replace(bare, hidden=tuple(sorted(hidden - set(seen))))


def find(engine: Engine, container: Container, path: str, *, follow: bool = True) -> Place:
    """Walk a clean path from the root. A link at its end is followed unless `follow` is false.

    Raises PathNotFound for a directory on the way that is missing, WrongKind for one that is none and for links that
    lead in a circle.
    """
    real, rest, links = "/", [name for name in path.split("/") if name], 0
    stat = look(engine, container, "/") if not rest else None
    while rest:
        here = join(real, rest.pop(0))
        hidden = container.hides(here)
        if hidden and container.can_exec:
            return Place(container, join(here, *rest), None, hidden)
        stat = look(engine, container, here)
        if stat is None:
            if rest:
                raise PathNotFound(f"no such directory in container {container.name}: {here}")
            return Place(container, here, None, hidden)
        if stat.is_symlink and (rest or follow):
            links += 1
            if links > LINK_LIMIT:
                raise WrongKind(f"{path}: too many symbolic links on the way")
            target = posixpath.normpath(join(real, stat.link_target or "."))
            real, rest = "/", [name for name in target.split("/") if name] + rest
            if not rest:
                stat = look(engine, container, "/")
            continue
        if rest and not stat.is_directory:
            raise WrongKind(f"{here} is not a directory")
        real = here
    return Place(container, real, stat, container.hides(real))


def look(engine: Engine, container: Container, path: str) -> Optional[PathStat]:
    """What is at `path`, a link itself; None for nothing. Raises WrongKind for links in a circle."""
    try:
        return archive.stat(engine, container.id, path)
    except NotFound as error:
        if "no such container" in str(error).lower():
            raise
        return None
    except DaemonFailed as error:
        words = _words(engine, container, path) or str(error)
        if "too many l" in words.lower():  # "too many links", "too many levels of symbolic links"
            raise WrongKind(f"{path}: the symbolic link leads in a circle") from error
        if "not a directory" in words.lower():
            raise WrongKind(f"{posixpath.dirname(path)} is not a directory") from error
        raise DaemonFailed(words, error.status) from error


def _words(engine: Engine, container: Container, path: str) -> str:
    """What the daemon has to say: an answer to HEAD has no body, one to GET has."""
    try:
        archive.get(engine, container.id, path).close()
    except DaemonFailed as error:
        return str(error)
    return ""


def _mounts(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(tmpfs mounts, volumes and binds), by their destinations as the container's configuration has them."""
    tmpfs = list((found.get("HostConfig") or {}).get("Tmpfs") or {})
    seen: list[str] = []
    for mount in found.get("Mounts") or []:
        (tmpfs if mount.get("Type") == "tmpfs" else seen).append(str(mount.get("Destination") or ""))
    return [_tidy(path) for path in tmpfs if path], [_tidy(path) for path in seen if path]


def _tidy(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _real(engine: Engine, container: Container, path: str) -> str:
    """Where the kernel put a mount whose destination has links in it (/var/run)."""
    try:
        return find(engine, container, path).path
    except (PathNotFound, WrongKind):
        return path
