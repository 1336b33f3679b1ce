"""Creating a container with all that it is to have before it starts: every network, and exactly the image meant."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Final, Optional

from dockpal_agent.containers.putfiles import PutFiles, copy
from dockpal_agent.engine import Engine, EngineError, NotFound, containers, images, networks

__all__ = ["CreateRequest", "create", "is_network", "network_of_mode", "remove_quietly"]

log = logging.getLogger(__name__)

MANY_NETWORKS: Final = (1, 44)  # the API version from which a create takes more than one network

# (reference, image id): called before a tag is moved for the moment of a create, so that a kill in it can be settled.
OnBorrow = Callable[[str, str], None]


@dataclass(frozen=True)
class CreateRequest:
    """What POST /containers/create is to be sent.

    `body` is Docker's ContainerCreate without NetworkingConfig. `endpoints` are all networks by name, with their
    EndpointSettings; None leaves the choice to HostConfig.NetworkMode alone. `image_id` is what Image must mean: where
    the tag has moved on, it is put back for the moment of the create. `files` are copied in before anything starts.
    """

    body: Mapping[str, Any]
    endpoints: Optional[Mapping[str, Mapping[str, Any]]] = None
    image_id: str = ""
    platform: Optional[str] = None
    files: Optional[PutFiles] = None


def create(engine: Engine, name: str, request: CreateRequest, on_borrow: OnBorrow = lambda text, image: None) -> str:
    """Create the container with its files and attach it to all its networks; its id. Not started.

    Raises EngineError, nothing left.
    """
    first, later, unwanted = _split(engine, request)
    body = dict(request.body)
    if first:
        body["NetworkingConfig"] = {"EndpointsConfig": first}
    with _exact_image(engine, str(body.get("Image") or ""), request.image_id, on_borrow) as reference:
        body["Image"] = reference
        container_id = containers.create(engine, name, body, request.platform)
    try:
        for network, endpoint in later.items():
            networks.connect(engine, network, container_id, endpoint)
        if unwanted:
            networks.disconnect(engine, unwanted, container_id)
        if request.files is not None:
            copy(engine, request.files, container_id)
    except EngineError:
        remove_quietly(engine, container_id)
        raise
    return container_id


def network_of_mode(mode: str) -> str:
    """The network that a NetworkMode means; "" for host, none and another container's."""
    if mode in ("", "default"):
        return "bridge"
    return "" if mode in ("host", "none") or mode.startswith(("container:", "ns:")) else mode


def is_network(mode: str, name: str, endpoint: Mapping[str, Any]) -> bool:
    """Whether the endpoint is in the network that the NetworkMode names, by its name or by its id."""
    wanted = network_of_mode(mode)
    network_id = str(endpoint.get("NetworkID") or "")
    return bool(wanted) and (wanted == name or (len(wanted) >= 12 and network_id.startswith(wanted)))


def remove_quietly(engine: Engine, container_id: str) -> None:
    """Clean up after a failure, which stays the failure."""
    try:
        containers.remove(engine, container_id, force=True)
    except NotFound:
        pass
    except EngineError as error:
        log.warning("container %s: it was made for nothing and cannot be removed: %s", container_id[:12], error)


_Endpoints = dict[str, dict[str, Any]]


def _split(engine: Engine, request: CreateRequest) -> tuple[_Endpoints, _Endpoints, str]:
    """(what the create is told, what is connected afterwards, what is disconnected again).

    Before API 1.44 a create takes one network, and it must be the NetworkMode's.
    """
    mode = str((request.body.get("HostConfig") or {}).get("NetworkMode") or "default")
    wanted = network_of_mode(mode)
    if request.endpoints is None or not wanted:
        return {}, {}, ""
    endpoints = {name: dict(endpoint) for name, endpoint in request.endpoints.items()}
    primary = next((name for name, endpoint in endpoints.items() if is_network(mode, name, endpoint)), "")
    for endpoint in endpoints.values():
        endpoint.pop("NetworkID", None)  # of the network as it was; one made anew under its name has another
    if not primary:
        return {}, endpoints, wanted
    if engine.supports(*MANY_NETWORKS):
        return endpoints, {}, ""
    return {primary: endpoints.pop(primary)}, endpoints, ""


@contextlib.contextmanager
def _exact_image(engine: Engine, reference: str, image_id: str, on_borrow: OnBorrow) -> Iterator[str]:
    """The reference that means `image_id` within this block: the daemon takes an image by what its tag says now.

    The tag of a newer image is moved to the older one and back. A reference that cannot be moved (a digest, an id)
    gives way to the id. Raises NotFound where the image is not there any more.
    """
    if not image_id or _image_id(engine, reference) == image_id:
        yield reference
        return
    repository, version = images.split_reference(reference)
    if "@" in reference or reference.startswith("sha256:"):
        yield image_id
        return
    newer = _image_id(engine, reference)
    if newer:
        on_borrow(reference, newer)
    images.tag(engine, image_id, repository, version or "latest")
    try:
        yield reference
    finally:
        if newer:
            images.tag(engine, newer, repository, version or "latest")


def _image_id(engine: Engine, reference: str) -> str:
    """The id of the image that a reference means now; "" where it means none."""
    if not reference:
        return ""
    try:
        return str(images.inspect(engine, reference).get("Id") or "")
    except NotFound:
        return ""
