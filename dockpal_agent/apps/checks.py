"""What registries said of images, and which digests the images of this host have: whether there is something newer.

state/image-checks.json, written once a round. Whether a container is outdated is asked of the image that it runs: the
tag may mean another one here by now.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Final, Optional

from dockpal_agent.apps.state_file import StateFile
from dockpal_agent.images.check import ImageUpdateResult
from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import Reference, is_image_id, parse

__all__ = ["Check", "Checks", "Said", "repository_digests"]

log = logging.getLogger(__name__)

VERSION: Final = 1
MOST_REFERENCES: Final = 5000
FIRST_WAIT: Final = 900.0  # seconds without a question to a registry that has had enough of us
LONGEST_WAIT: Final = 6 * 3600.0  # the longest window over which registries count


@dataclass(frozen=True)
class Check:
    """What is known of a container's image. Digests are `sha256:…`, "" where unknown; times are unix seconds, 0 where
    unknown. `first_seen` is when `remote_digest` was heard for the first time; `error` is why the registry did not
    answer the last time.
    """

    has_update: bool
    local_digest: str = ""
    remote_digest: str = ""
    first_seen: int = 0
    checked_at: int = 0
    error: str = ""


@dataclass(frozen=True)
class Said:
    """What a registry said of one reference. `asked_at` is the last question, `checked_at` the last answer."""

    remote_digest: str = ""
    first_seen_at: int = 0
    checked_at: int = 0
    asked_at: int = 0
    error: str = ""


@dataclass(frozen=True)
class _Wait:
    """Until when a registry is left alone, and how long that was: the next time it is twice as long."""

    until: float
    seconds: float


class Checks:
    """Answers from memory; any thread may ask and note. save() writes it down."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._file: Final = StateFile(path, VERSION)
        self._now: Final = now
        self._saving = threading.Lock()  # guards the file
        self._lock = threading.Lock()  # guards what follows
        kept = self._file.read()
        self._said: dict[str, Said] = _read_said(kept.get("references"))  # by familiar reference
        self._digests: dict[str, tuple[str, ...]] = _read_digests(kept.get("images"))  # RepoDigests by image id
        self._waits: dict[str, _Wait] = _read_waits(kept.get("registries"))  # by registry
        self._unsaved = False

    def of(self, reference: str, image_id: str) -> Check:
        """Whether there is a newer image than `image_id`, which a container runs and which it calls `reference`.

        Never for an image that was built here, or whose reference is an id or fixes a digest.
        """
        named = _named(reference)
        if named is None:
            return Check(False)
        if named.digest is not None:
            return Check(False, named.digest, named.digest)
        with self._lock:
            said = self._said.get(named.familiar, Said())
            repo_digests = self._digests.get(image_id, ())
        ours = repository_digests(repo_digests, named)
        local = said.remote_digest if said.remote_digest in ours else next(iter(ours), "")
        outdated = bool(local and said.remote_digest and local != said.remote_digest)
        return Check(outdated, local, said.remote_digest, said.first_seen_at, said.checked_at, said.error)

    def said(self, reference: str) -> Said:
        """What the registry said of a reference, whatever image runs here."""
        named = _named(reference)
        with self._lock:
            return self._said.get(named.familiar, Said()) if named is not None else Said()

    def note(self, reference: str, result: ImageUpdateResult) -> None:
        """A check of `reference` was made, by the monitor or by hand. A failure leaves the last good answer."""
        named = _named(reference)
        if named is None or named.digest is not None:
            return
        at = result.checked_at or int(self._now())
        with self._lock:
            before = self._said.pop(named.familiar, Said())
            self._said[named.familiar] = _after(before, result, at)
            while len(self._said) > MOST_REFERENCES:
                del self._said[next(iter(self._said))]
            self._unsaved = True

    def note_images(self, images: Iterable[Mapping[str, Any]]) -> None:
        """All images of the host, as GET /images/json lists them; what is no more there is forgotten.

        An image keeps the digests that it had: some engines take them away when its tag moves on, and they are still
        what the registry called it.
        """
        with self._lock:
            digests = {str(image.get("Id") or ""): self._merged(image) for image in images}
            digests = {image_id: each for image_id, each in digests.items() if each}
            self._unsaved = self._unsaved or digests != self._digests
            self._digests = digests

    def note_image(self, image: Mapping[str, Any]) -> None:
        """One image, as the list or an inspect has it: it was pulled just now."""
        with self._lock:
            merged = self._merged(image)
            if merged:
                self._digests[str(image.get("Id") or "")] = merged
                self._unsaved = True

    def forget_others(self, references: Iterable[str]) -> None:
        """Forget what registries said of all references but these (familiar ones)."""
        kept = set(references)
        with self._lock:
            gone = [reference for reference in self._said if reference not in kept]
            for reference in gone:
                del self._said[reference]
            self._unsaved = self._unsaved or bool(gone)

    def wait_of(self, registry: str) -> float:
        """Seconds for which a registry is left alone yet, 0 if it may be asked."""
        with self._lock:
            wait = self._waits.get(registry)
            left = wait.until - self._now() if wait is not None else 0.0
            if wait is None or not 0.0 < left <= wait.seconds:  # over, or the clock was set back since
                return 0.0
            return left

    def limited(self, registry: str, *, answered: bool) -> float:
        """A registry has had enough of us: how many seconds to leave it alone.

        Twice as long as the last time, unless it `answered` some questions since.
        """
        with self._lock:
            wait = self._waits.get(registry)
            if wait is None:
                seconds = FIRST_WAIT
            else:
                seconds = wait.seconds if answered else min(wait.seconds * 2, LONGEST_WAIT)
            self._waits[registry] = _Wait(self._now() + seconds, seconds)
            self._unsaved = True
            return seconds

    def unlimited(self, registry: str) -> None:
        """A registry answered all that we asked."""
        with self._lock:
            self._unsaved = self._waits.pop(registry, None) is not None or self._unsaved

    def save(self) -> None:
        """Write what has changed. What cannot be written is logged, and stays in memory."""
        with self._saving:
            with self._lock:
                if not self._unsaved:
                    return
                value = {
                    "references": {reference: asdict(said) for reference, said in self._said.items()},
                    "images": {image_id: list(digests) for image_id, digests in self._digests.items()},
                    "registries": {registry: asdict(wait) for registry, wait in self._waits.items()},
                }
                self._unsaved = False
            try:
                self._file.write(value)
            except OSError as error:
                with self._lock:
                    self._unsaved = True
                log.error("what registries said of images cannot be written: %s", error.strerror)

    def _merged(self, image: Mapping[str, Any]) -> tuple[str, ...]:
        """An image's RepoDigests, with those that it had. The lock is held."""
        now = [str(text) for text in image.get("RepoDigests") or [] if not str(text).startswith("<none>")]
        before = self._digests.get(str(image.get("Id") or ""), ())
        return (*now, *(text for text in before if text not in now))


def repository_digests(repo_digests: Iterable[str], reference: Reference) -> list[str]:
    """The digests under which the reference's own repository has an image, of its RepoDigests."""
    found = []
    for text in repo_digests:
        repository, at, digest = text.partition("@")
        named = _named(repository) if at else None
        if named is not None and named.repository == reference.repository:
            found.append(digest)
    return found


def _named(reference: str) -> Optional[Reference]:
    """None for an image id, and for what is no reference."""
    if is_image_id(reference):
        return None
    try:
        return parse(reference)
    except InvalidReference:
        return None


def _after(before: Said, result: ImageUpdateResult, at: int) -> Said:
    if not result.remote_digest:
        return replace(before, asked_at=at, error=result.error)
    same = result.remote_digest == before.remote_digest
    return Said(
        remote_digest=result.remote_digest,
        first_seen_at=before.first_seen_at if same else at,
        checked_at=at,
        asked_at=at,
    )


def _read_said(value: Any) -> dict[str, Said]:
    if not isinstance(value, dict):
        return {}
    return {
        str(reference): Said(
            remote_digest=str(each.get("remote_digest") or ""),
            first_seen_at=_seconds(each.get("first_seen_at")),
            checked_at=_seconds(each.get("checked_at")),
            asked_at=_seconds(each.get("asked_at")),
            error=str(each.get("error") or ""),
        )
        for reference, each in value.items()
        if isinstance(each, dict)
    }


def _read_digests(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        return {}
    return {image_id: tuple(map(str, digests)) for image_id, digests in value.items() if isinstance(digests, list)}


def _read_waits(value: Any) -> dict[str, _Wait]:
    if not isinstance(value, dict):
        return {}
    return {
        str(registry): _Wait(float(_seconds(each.get("until"))), float(_seconds(each.get("seconds"))))
        for registry, each in value.items()
        if isinstance(each, dict)
    }


def _seconds(value: Any) -> int:
    return int(value) if type(value) in (int, float) and 0 <= value < 1e12 else 0
