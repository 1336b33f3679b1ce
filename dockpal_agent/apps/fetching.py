"""Pulling one image for an update that nobody waits for, with the host's own credentials."""

from __future__ import annotations

import re
from typing import Final, Optional

from dockpal_agent.apps.ending import Parts
from dockpal_agent.apps.stages import ErrorCode
from dockpal_agent.engine import EngineError
from dockpal_agent.images.errors import ImageError, InvalidCredentials, RegistryDenied, RegistryFailed
from dockpal_agent.images.pulls import PULL_LIMIT
from dockpal_agent.images.references import Reference, parse

__all__ = ["NotPulled", "fetch"]

POLL: Final = 1.0  # seconds between two looks whether the agent ends
_DENIED: Final = re.compile(r"unauthorized|authentication|denied|\b40[13]\b", re.IGNORECASE)


class NotPulled(Exception):
    """The image is not there; the text says why in the registry's words, and what to do about a denial."""

    def __init__(self, message: str, error_code: ErrorCode) -> None:
        super().__init__(message)
        self.error_code: Final = error_code


def fetch(parts: Parts, reference: str) -> None:
    """Pull, and wait for the end. Raises NotPulled, also when the agent ends meanwhile."""
    name = parse(reference)
    auth, trouble = _auth(parts, name)
    try:
        _pull(parts, name, auth)
    except (ImageError, EngineError) as error:
        words = f"{reference} could not be pulled: {error}"
        if not _is_denial(error):
            raise NotPulled(words, ErrorCode.PULL_ERROR) from error
        raise NotPulled(f"{words}; {trouble or parts.logins.advice(name)}", ErrorCode.AUTH_MISSING) from error


def _auth(parts: Parts, reference: Reference) -> tuple[Optional[str], str]:
    """(credentials, what is wrong with their file): a public image needs none, so that is no failure yet."""
    try:
        return parts.logins.auth_for(reference), ""
    except InvalidCredentials as error:
        return None, str(error)


def _pull(parts: Parts, reference: Reference, auth: Optional[str]) -> None:
    pull = parts.pulls.start(reference, auth)
    waited = 0.0
    while not pull.wait(POLL):
        waited += POLL
        if parts.stopping.is_set():
            pull.cancel.cancel()
        if waited > PULL_LIMIT:
            raise RegistryFailed(f"it is still being pulled after {PULL_LIMIT:g} s")


def _is_denial(error: Exception) -> bool:
    """By the error's class, else by its words (protocol 5.2)."""
    return isinstance(error, RegistryDenied) or bool(_DENIED.search(str(error)))
