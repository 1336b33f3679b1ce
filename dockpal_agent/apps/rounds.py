"""One round of the image monitor: which references a registry is asked about, in which order, and the asking."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Final, Optional

from dockpal_agent.apps.checks import Checks, repository_digests
from dockpal_agent.engine import Cancel, Engine
from dockpal_agent.images.check import ImageUpdateResult, remote_digest, unknown
from dockpal_agent.images.credentials import for_reference
from dockpal_agent.images.errors import ImageError, InvalidReference, RegistryFailed, RegistryLimited
from dockpal_agent.images.references import Reference, parse

__all__ = ["ROUND_LIMIT", "Question", "Round", "questions"]

log = logging.getLogger(__name__)

ROUND_LIMIT: Final = 300.0  # seconds; what is left is asked first in the next round
LAST_START: Final = ROUND_LIMIT - 20.0  # a question takes 15 s at most
SILENT_AFTER: Final = 3  # failures in a row, after which a registry is left alone until the next round

Listed = Mapping[str, Any]  # an entry of GET /images/json or /containers/json


@dataclass(frozen=True)
class Question:
    """A reference to ask its registry about. `runs`: a container that runs was made from it."""

    reference: Reference
    runs: bool
    asked_at: int


def questions(images: Iterable[Listed], running: Iterable[Listed], checks: Checks) -> list[Question]:
    """Every reference of this host that a registry can be asked about, once, in the order of asking.

    Those of running containers come first, then one registry after the other, what was asked the longest ago first.
    Images that have no digest of their own repository were built or loaded here: no registry knows them.
    """
    used = {str(entry.get(key) or "") for entry in running for key in ("ImageID", "Image")}
    found: dict[str, Question] = {}
    for image in images:
        for tag in image.get("RepoTags") or ():
            reference = _tagged(str(tag))
            if reference is None or not repository_digests(map(str, image.get("RepoDigests") or ()), reference):
                continue
            runs = bool({str(image.get("Id") or ""), str(tag), reference.familiar_repository} & used)
            found[reference.familiar] = Question(reference, runs, checks.said(reference.familiar).asked_at)
    return sorted(
        found.values(), key=lambda one: (not one.runs, one.reference.domain, one.asked_at, str(one.reference))
    )


class Round:
    """Asks, until all is asked, the time is over, or `cancel` says so. Not for use by two threads."""

    def __init__(
        self,
        engine: Engine,
        checks: Checks,
        auths: Mapping[str, Any],
        cancel: Cancel,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine: Final = engine
        self._checks: Final = checks
        self._auths: Final = auths
        self._cancel: Final = cancel
        self._clock: Final = clock
        self._answered: set[str] = set()  # registries
        self._limited: set[str] = set()
        self._failures: dict[str, int] = {}  # in a row, by registry
        self.asked = 0

    def ask(self, due: Sequence[Question]) -> list[Question]:
        """Ask about all of these; which were left. Raises EngineError when the daemon does not answer."""
        until = self._clock() + LAST_START
        left: list[Question] = []
        for question in due:
            registry = question.reference.domain
            if self._cancel.cancelled or self._clock() > until or not self._may_ask(registry):
                left.append(question)
                continue
            self._ask(question.reference)
            if registry in self._limited:
                left.append(question)
        for registry in self._answered - self._limited:
            self._checks.unlimited(registry)
        return left

    def _may_ask(self, registry: str) -> bool:
        return self._failures.get(registry, 0) < SILENT_AFTER and self._checks.wait_of(registry) <= 0.0

    def _ask(self, reference: Reference) -> None:
        registry, name = reference.domain, reference.familiar
        before = self._checks.said(name)
        self.asked += 1
        try:
            auth = for_reference(self._auths, reference)
            digest = remote_digest(self._engine, reference, auth, cancel=self._cancel)
        except RegistryLimited as error:
            seconds = self._checks.limited(registry, answered=registry in self._answered)
            self._limited.add(registry)
            log.warning("registry %s: left alone for %d min: %s", registry, round(seconds / 60), error)
            return
        except ImageError as error:
            self._fail(reference, before.error, error)
            return
        self._answered.add(registry)
        self._failures.pop(registry, None)
        self._checks.note(name, ImageUpdateResult(False, remote_digest=digest))
        if before.remote_digest and before.remote_digest != digest:
            log.info("image %s: the registry has another one now, %s", name, digest)

    def _fail(self, reference: Reference, before: str, error: ImageError) -> None:
        """No digest: keep the last good one, and say so when that begins."""
        registry = reference.domain
        if isinstance(error, RegistryFailed):
            self._failures[registry] = self._failures.get(registry, 0) + 1
            if self._failures[registry] == SILENT_AFTER:
                log.warning("registry %s: left alone until the next round: %s", registry, error)
        else:
            self._failures.pop(registry, None)
        self._checks.note(reference.familiar, unknown("", error, 0))
        if not before:
            log.warning("image %s: %s", reference.familiar, error)


def _tagged(tag: str) -> Optional[Reference]:
    """The reference, None for `<none>:<none>`."""
    try:
        return parse(tag)
    except InvalidReference:
        return None
