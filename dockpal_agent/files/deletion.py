"""Deleting files. The archive API cannot; the container's own rm can, so the container must run and have one."""

from __future__ import annotations

import logging
from typing import Final

from dockpal_agent.engine import Engine
from dockpal_agent.files import commands
from dockpal_agent.files.errors import OutOfReach, PathNotFound, ProtectedPath, WrongKind
from dockpal_agent.files.paths import PROTECTED, clean, is_below
from dockpal_agent.files.place import Container, Place, examine, find, look

__all__ = ["delete"]

log = logging.getLogger(__name__)

REMOVE_LIMIT: Final = 600.0  # seconds; a large tree on a slow disk
KERNEL_FILES: Final = ("/proc", "/sys")


def delete(engine: Engine, container: str, path: str) -> None:
    """Delete a file, a link (not what it leads to), or a directory with all that is in it.

    Raises ProtectedPath for PROTECTED, however it is named; OutOfReach for a mount or a directory that holds one, as
    the data of a volume must not go with it, and for a container that does not run; PathNotFound; NoProgram.
    """
    cleaned = clean(path)
    _refuse_protected(cleaned, cleaned)
    inside = examine(engine, container)
    place = find(engine, inside, cleaned, follow=False)
    _refuse_protected(place.path, cleaned)
    if place.hidden in KERNEL_FILES:
        raise ProtectedPath(f"{place.path} is the kernel's, in {place.hidden}: it is protected and cannot be deleted")
    if place.stat is None and not (place.hidden and inside.can_exec):
        raise PathNotFound(f"no such file or directory in container {inside.name}: {place.path}")
    _refuse_mounts(engine, place)
    if place.stat is not None and place.stat.is_directory:
        _refuse_what_a_protected_link_leads_to(engine, place)
    if not inside.can_exec:
        raise OutOfReach(
            f"container {inside.name} is {inside.state}: Docker can delete files only in a running container"
        )
    done = commands.run(engine, inside, ("rm", "-r", "--", place.path), within=REMOVE_LIMIT, most=65536)
    if done.exit_code != 0:
        raise commands.failure(inside, place.path, done)
    log.info("container %s: deleted %s", inside.name, place.path)


def _refuse_protected(path: str, asked: str) -> None:
    if path in PROTECTED:
        also = "" if path == asked else f", which is {path},"
        raise ProtectedPath(f"{asked}{also} is protected and cannot be deleted")


def _refuse_mounts(engine: Engine, place: Place) -> None:
    """A mount cannot be deleted, but rm would empty it first."""
    for mount in _mounts(engine, place):
        if mount == place.path:
            raise OutOfReach(f"{place.path} is a mount of container {place.container.name}: it cannot be deleted")
        if is_below(mount, place.path):
            raise OutOfReach(f"{place.path} holds the mount {mount}, whose data would be deleted with it")


def _mounts(engine: Engine, place: Place) -> set[str]:
    """The mounts by their names and, where a directory is to go, also by where links in these names lead."""
    container = place.container
    mounts = {*container.hidden, *container.seen}
    if place.stat is None or not place.stat.is_directory:
        return mounts
    return mounts | {_real(engine, container, mount) for mount in container.seen}


def _real(engine: Engine, container: Container, mount: str) -> str:
    try:
        return find(engine, container, mount).path
    except (PathNotFound, WrongKind):
        return mount


def _refuse_what_a_protected_link_leads_to(engine: Engine, place: Place) -> None:
    """/bin is a link to usr/bin in many images: then /usr/bin is as protected as /bin, and so is what holds it."""
    for protected in PROTECTED[1:]:
        found = look(engine, place.container, protected)
        if found is None or not found.is_symlink:
            continue
        if is_below(find(engine, place.container, protected).path, place.path):
            raise ProtectedPath(f"{place.path} is what {protected} leads to: it is protected and cannot be deleted")
