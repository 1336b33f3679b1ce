"""A container's image changes: what is refused before anything is touched, and what is left to the new image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace as with_values
from typing import Any, Final

from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.defaults import without_defaults
from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.edit import same_image
from dockpal_agent.engine import Engine, NotFound, images, system
from dockpal_agent.images.references import is_image_id

__all__ = [
    "CannotEdit",
    "check_platform",
    "config_of_image",
    "give_tag_back",
    "id_of",
    "refuse_fixed",
    "with_image",
]

log = logging.getLogger(__name__)

Found = Mapping[str, Any]

# Which processors run which images by themselves (GOARCH): one for another would be created, and then fail.
RUNS: Final[Mapping[str, frozenset[str]]] = {
    "amd64": frozenset({"amd64", "386"}),
    "arm64": frozenset({"arm64", "arm"}),
}


class CannotEdit(Exception):
    """The state of the container, or the image, does not allow what was asked; nothing was touched."""


def with_image(request: CreateRequest, given: Found, image: Found, reference: str) -> CreateRequest:
    """The request for another image (its inspect): what the old one's config `given` set is left to the new one."""
    image_id = str(image.get("Id") or "")
    config = {key: value for key, value in request.body.items() if key != "HostConfig"}
    body = {**without_defaults(config, given, image_id), "Image": reference, "HostConfig": request.body["HostConfig"]}
    return with_values(request, body=body, image_id=image_id)


def config_of_image(engine: Engine, old: Found) -> Found:
    """The config of the image a container was made from; {} where the image is gone, then all is the user's."""
    try:
        return images.inspect(engine, str(old.get("Image") or "")).get("Config") or {}
    except NotFound:
        log.warning("container %s: its image is gone, what came from it cannot be told apart", name_of(old))
        return {}


def id_of(engine: Engine, reference: str) -> str:
    """The id of the image that a reference means on this host, "" for none."""
    try:
        return str(images.inspect(engine, reference).get("Id") or "")
    except NotFound:
        return ""


def give_tag_back(engine: Engine, image_id: str, reference: str) -> None:
    """Let a reference mean again what it meant before a pull."""
    repository, tag = images.split_reference(reference)
    images.tag(engine, image_id, repository, tag or "latest")


def refuse_fixed(engine: Engine, old: Found, reference: str) -> None:
    """Refuse an id or a digest: no newer image can come under it. Raises CannotEdit."""
    shortened = str(old.get("Image") or "").startswith(f"sha256:{reference}") and not _is_tag(engine, reference)
    if is_image_id(reference) or shortened:
        what = f"was created from an image id ({reference})"
    elif "@" in reference:
        what = f"is pinned to a digest ({reference})"
    else:
        return
    raise CannotEdit(f"container {name_of(old)} {what}: no newer image can come under it; edit its image first")


def _is_tag(engine: Engine, reference: str) -> bool:
    """Whether a text that could be the beginning of an id is the name of an image."""
    try:
        tags = images.inspect(engine, reference).get("RepoTags") or ()
    except NotFound:
        return True
    return any(same_image(tag, reference) for tag in tags)


def check_platform(engine: Engine, old: Found, image: Found, reference: str) -> None:
    """Refuse an image that this host cannot run; one emulated as the old one was may go on. Raises CannotEdit."""
    architecture = str(image.get("Architecture") or "")
    host = str(system.version(engine).get("Arch") or "")
    if not architecture or not host or architecture in RUNS.get(host, {host}):
        return
    try:
        if images.inspect(engine, str(old.get("Image") or "")).get("Architecture") == architecture:
            return
    except NotFound:
        pass
    raise CannotEdit(f"the image {reference} is for {architecture}, this host is {host}; {name_of(old)} is as it was")
