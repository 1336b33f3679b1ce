"""Which images of an app an update concerns, and why others are left as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Final

from dockpal_agent.apps.app import App, Member, apps_of
from dockpal_agent.apps.checks import repository_digests
from dockpal_agent.containers import image_change
from dockpal_agent.containers.image_change import CannotEdit
from dockpal_agent.engine import Engine, NotFound, containers, images
from dockpal_agent.images.check import local_digests
from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import parse

__all__ = ["Due", "Held", "Updatable", "chosen", "digest_of", "digests_of", "held_by", "updatable"]

WATCHTOWER: Final = "com.centurylinklabs.watchtower.enable"  # "false": Watchtower's own opt-out

Found = Mapping[str, Any]
Due = Callable[[App], Collection[str]]  # the services of an app that are to be updated by themselves, now


@dataclass(frozen=True)
class Held:
    """A container of the app, as Docker's list and as its inspect show it."""

    member: Member
    found: Found

    @property
    def reference(self) -> str:
        """What it was created from, as its creator wrote it."""
        return str((self.found.get("Config") or {}).get("Image") or "")

    @property
    def image_id(self) -> str:
        """The image that it runs."""
        return str(self.found.get("Image") or "")

    @property
    def in_motion(self) -> bool:
        """Whether it is meant to run now."""
        state = self.found.get("State") or {}
        return bool(state.get("Running") or state.get("Restarting"))

    @property
    def unwell(self) -> bool:
        """Whether it is in trouble now: whatever comes, it says nothing against another image."""
        state = self.found.get("State") or {}
        return bool(state.get("Restarting")) or (state.get("Health") or {}).get("Status") == "unhealthy"


def held_by(engine: Engine, project: str) -> list[Held]:
    """The containers of a project, by service and number. Raises EngineError."""
    found = []
    for app in apps_of(containers.list_containers(engine, all=True)):
        for member in app.members if app.project == project else ():
            try:
                found.append(Held(member, containers.inspect(engine, member.id)))
            except NotFound:  # removed since the list was made
                continue
    return found


@dataclass(frozen=True)
class Updatable:
    """`references` are those under which a registry may have newer images, `left` says of others why not, a line each.

    `doubtful` are references of which nobody can tell whether any registry has ever known them.
    """

    references: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)


def updatable(engine: Engine, held: Iterable[Held]) -> Updatable:
    """What of an app can be updated. Raises EngineError.

    An image without a digest of its reference's own repository was built, loaded or tagged here: there is nowhere to
    look for a newer one. Engines that keep images in containerd (29's default) give every image a digest, its id.
    """
    digests = {str(image.get("Id")): image.get("RepoDigests") or [] for image in images.list_images(engine)}
    found = Updatable()
    for one in held:
        why = _why_not(engine, one)
        known = _own(digests.get(one.image_id, ()), one.reference) or _own(
            digests.get(image_change.id_of(engine, one.reference), ()), one.reference
        )
        if not why and not known and one.image_id in digests:
            why = f"{one.reference} was built, loaded or tagged on this host"
        if why and why not in found.left:
            found.left.append(why)
        elif not why and one.reference not in found.references:
            found.references.append(one.reference)
        if known and all(digest == one.image_id for digest in known):
            found.doubtful.add(one.reference)
    return found


def _own(repo_digests: Iterable[str], reference: str) -> list[str]:
    """The digests, of an image's RepoDigests, that it has in the reference's own repository."""
    try:
        return repository_digests(repo_digests, parse(reference))
    except InvalidReference:
        return []


def _why_not(engine: Engine, one: Held) -> str:
    """Why no newer image can come under the container's reference, "" if one can."""
    try:
        image_change.refuse_fixed(engine, one.found, one.reference)
        parse(one.reference)
    except (CannotEdit, InvalidReference) as reason:
        return str(reason)
    return ""


def chosen(held: Iterable[Held], references: Iterable[str], services: Collection[str]) -> list[str]:
    """Of these references, those of the services that are due. One that a service uses which is never to be updated by
    itself stays as it is, as its tag is one for both.
    """
    held = list(held)
    due = {one.reference for one in held if one.member.service in services}
    kept = {one.reference for one in held if one.member.labels.get(WATCHTOWER, "").strip().lower() == "false"}
    return [reference for reference in references if reference in due - kept]


def digests_of(image: Found, reference: str) -> list[str]:
    """The digests by which an image (its inspect) is known in registries, those of the reference's own before others.

    Pulled by one tag it mostly has one; more, where several indexes hold the same image.
    """
    try:
        return [str(digest) for digest in local_digests(image, parse(reference))]
    except InvalidReference:
        return []


def digest_of(image: Found, reference: str, preferred: str = "") -> str:
    """What to show an image by: `preferred` where that is one of its digests, else its first, else its id."""
    known = digests_of(image, reference)
    if preferred in known:
        return preferred
    return known[0] if known else str(image.get("Id") or "")
