"""Whether a registry has a newer image than this host, without pulling it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.engine import Cancel, Engine, EngineError, NotFound
from dockpal_agent.engine import images as engine_images
from dockpal_agent.images.errors import ImageError, InvalidReference, RegistryDenied, RegistryFailed, RegistryLimited
from dockpal_agent.images.failures import meaning
from dockpal_agent.images.references import Reference, is_image_id, parse

__all__ = ["ImageUpdateResult", "check", "local_digests", "remote_digest", "unknown"]

REGISTRY_LIMIT: Final = 15.0  # seconds; the Server gives up after 30, the engine's own look takes some of that too


@dataclass(frozen=True)
class ImageUpdateResult:
    """What a check found. Digests are `sha256:…`, "" where unknown; `error` is for the user; times are unix seconds.

    `limited` and `denied` tell an unattended monitor why there is no remote digest: to wait, or to stop asking.
    """

    has_update: bool
    local_digest: str = ""
    remote_digest: str = ""
    error: str = ""
    checked_at: int = 0
    limited: bool = False
    denied: bool = False

    def as_json(self) -> dict[str, Any]:
        """The wire's ImageUpdateResult (protocol 2)."""
        result: dict[str, Any] = {"has_update": self.has_update, "checked_at": self.checked_at}
        texts = {"local_digest": self.local_digest, "remote_digest": self.remote_digest, "error": self.error}
        result.update({name: text for name, text in texts.items() if text})
        return result


def check(
    engine: Engine, image: str, auth: Optional[str] = None, *, now: Callable[[], float] = time.time
) -> ImageUpdateResult:
    """Compare the local digest of `image` with its registry's. It never raises for what a check can run into.

    Engine API: GET /images/{name}/json, GET /distribution/{name}/json. Raises EngineUnavailable and its like only when
    the local look fails: then nothing is known at all.
    """
    when = int(now())
    try:
        reference = _reference(image)
    except InvalidReference as error:
        return ImageUpdateResult(False, error=str(error), checked_at=when)
    try:
        local = local_digests(engine_images.inspect(engine, reference.familiar), reference)
    except NotFound as error:
        return ImageUpdateResult(False, error=f"local image not found: {error}", checked_at=when)
    if reference.digest:
        return ImageUpdateResult(False, reference.digest, reference.digest, checked_at=when)
    if not local:
        text = f"{reference.familiar} has no registry digest: it was built or loaded on this host"
        return ImageUpdateResult(False, error=text, checked_at=when)
    try:
        remote = remote_digest(engine, reference, auth)
    except (ImageError, EngineError) as error:
        return unknown(local[0], error, when)
    known = remote if remote in local else local[0]
    return ImageUpdateResult(known != remote, known, remote, checked_at=when)


def local_digests(image: Mapping[str, Any], reference: Reference) -> Sequence[str]:
    """The digests by which this host knows the image, those of the reference's own repository before all others.

    `image` is Docker's inspect or list entry. An image may have several: the index and the platform's manifest
    (Podman), or one from each repository it was pulled from. If any is of the same repository, only those count.
    """
    same: list[str] = []
    other: list[str] = []
    for text in image.get("RepoDigests") or []:
        repository, at, digest = str(text).partition("@")
        if not at or repository == "<none>":
            continue
        try:
            ours = parse(repository).repository == reference.repository
        except InvalidReference:
            ours = False
        (same if ours else other).append(digest)
    return same or other


def _reference(image: str) -> Reference:
    if is_image_id(image):
        raise InvalidReference(f"{image[:80]} is an image id: only a name can be looked up in a registry")
    return parse(image)


def remote_digest(
    engine: Engine, reference: Reference, auth: Optional[str] = None, *, cancel: Optional[Cancel] = None
) -> str:
    """The digest that a registry has for `reference` now. Engine API: GET /distribution/{name}/json.

    It is that of the index for an image of many platforms, which is what a pull by tag notes as well. Raises ImageError
    for what the registry said, EngineError for what is not its doing.
    """
    try:
        answer = engine_images.distribution_inspect(engine, str(reference), auth, within=REGISTRY_LIMIT, cancel=cancel)
    except EngineError as error:
        raise meaning(error, reference, auth) from error
    descriptor = answer.get("Descriptor")
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not digest:
        raise RegistryFailed(f"the registry {reference.domain} named no digest for {reference.familiar}")
    return digest


def unknown(local: str, error: Exception, when: int) -> ImageUpdateResult:
    """The result where the registry gave no digest because of `error`, at `when` (unix seconds)."""
    return ImageUpdateResult(
        False,
        local,
        error=f"registry query failed: {error}",
        checked_at=when,
        limited=isinstance(error, RegistryLimited),
        denied=isinstance(error, RegistryDenied),
    )
