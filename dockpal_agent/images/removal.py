"""Images that go: one by its id or a name, or all that nobody uses."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dockpal_agent.engine import Conflict, Engine, NotFound
from dockpal_agent.engine import containers as engine_containers
from dockpal_agent.engine import images as engine_images
from dockpal_agent.images.errors import ImageInUse, ImageNotFound, InvalidReference
from dockpal_agent.images.references import parse

__all__ = ["PruneResult", "prune", "remove"]

log = logging.getLogger(__name__)

_ID_PREFIX: Final = re.compile(r"sha256:([0-9a-f]{4,64})", re.ASCII)


@dataclass(frozen=True)
class PruneResult:
    """`images_deleted` counts the entries of Docker's list (tags and layers), `space_reclaimed` is bytes."""

    images_deleted: int
    space_reclaimed: int

    def as_json(self) -> dict[str, int]:
        """The wire's PruneResult (protocol 2)."""
        return {"images_deleted": self.images_deleted, "space_reclaimed": self.space_reclaimed}


def remove(engine: Engine, image: str) -> None:
    """Remove an image. By its id (whole or shortened) it goes with all its tags; by a name only that one goes, unless
    it is the last.

    As both original agents do, Docker is told to force, so that several tags are no obstacle. But force also takes an
    image away under a container that uses it; so whether one does, running or not, is looked at first. Raises
    ImageNotFound, ImageInUse, InvalidReference.
    """
    target = _full_id(engine, image)
    try:
        found = engine_images.inspect(engine, target)
    except NotFound as error:
        raise ImageNotFound(f"no such image: {image}") from error
    identity = str(found.get("Id") or "")
    if _is_one_name_of_several(target, found):
        engine_images.remove(engine, target)
        log.info("image %s: one of its names removed", image)
        return
    _refuse_if_used(engine, identity, image)
    try:
        engine_images.remove(engine, target, force=True)
    except NotFound as error:
        raise ImageNotFound(f"no such image: {image}") from error
    except Conflict as error:
        raise ImageInUse(str(error)) from error
    log.info("image %s: removed", image)


def prune(engine: Engine, *, dangling_only: bool) -> PruneResult:
    """Remove the dangling images, or all that no container uses. Engine API: POST /images/prune."""
    answer = engine_images.prune(engine, {"dangling": "true" if dangling_only else "false"})
    deleted = answer.get("ImagesDeleted")
    result = PruneResult(len(deleted) if isinstance(deleted, list) else 0, int(answer.get("SpaceReclaimed") or 0))
    log.info("images: pruned %d, %d bytes", result.images_deleted, result.space_reclaimed)
    return result


def _full_id(engine: Engine, image: str) -> str:
    """A shortened `sha256:…` id in full: Docker would first read it as tag … of a repository named sha256."""
    match = _ID_PREFIX.fullmatch(image)
    if match is None:
        return image
    if len(match.group(1)) == 64:
        return image
    fitting = {str(entry.get("Id")) for entry in engine_images.list_images(engine, all=True)}
    fitting = {identity for identity in fitting if identity.startswith(image)}
    if not fitting:
        raise ImageNotFound(f"no such image: {image}")
    if len(fitting) > 1:
        raise InvalidReference(f"{image} is the beginning of {len(fitting)} image ids: give more of it")
    return fitting.pop()


def _is_one_name_of_several(target: str, found: Mapping[str, Any]) -> bool:
    """Whether `target` names the image by one of several references: then only that name goes."""
    identity = str(found.get("Id") or "")
    if target == identity or identity.rpartition(":")[2].startswith(target):
        return False
    names = [*(found.get("RepoTags") or [])]
    try:
        wanted = parse(target)
    except InvalidReference:
        return False
    return wanted.familiar in names and len(names) > 1


def _refuse_if_used(engine: Engine, identity: str, image: str) -> None:
    users = [entry for entry in engine_containers.list_containers(engine, all=True) if entry.get("ImageID") == identity]
    if not users:
        return
    shown = ", ".join(f"{_name(entry)} ({entry.get('State') or 'unknown'})" for entry in users[:5])
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    noun = "container" if len(users) == 1 else "containers"
    raise ImageInUse(f"image {image} is in use by {noun} {shown}{more}: remove them first")


def _name(container: Mapping[str, Any]) -> str:
    names = container.get("Names") or []
    return str(names[0]).lstrip("/") if names else str(container.get("Id") or "")[:12]
