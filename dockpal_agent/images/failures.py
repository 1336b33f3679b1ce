"""What a registry's refusal means. The Engine passes most of them on as one status with a text, so the text is read."""

from __future__ import annotations

import re
from typing import Final, Optional

from dockpal_agent.engine import Denied, EngineError, EngineRefused, EngineTimeout, NotFound
from dockpal_agent.images.credentials import hide
from dockpal_agent.images.errors import ImageNotFound, RegistryDenied, RegistryFailed, RegistryLimited
from dockpal_agent.images.references import Reference

__all__ = ["meaning"]

# Looked for in this order: Docker Hub says "pull access denied … repository does not exist or may require 'docker
# login'" for both, so words of a denial win over "does not exist"; a rate limit's text may say "unauthenticated".
_LIMITED: Final = re.compile(r"toomanyrequests|too many requests|rate limit|\b429\b", re.IGNORECASE)
_DENIED: Final = re.compile(
    r"unauthorized|denied|forbidden|no basic auth credentials|authentication required|incorrect username or password"
    r"|status:? 40[13]\b|\b40[13] (?:unauthorized|forbidden)",
    re.IGNORECASE,
)
_ABSENT: Final = re.compile(
    r"manifest unknown|name unknown|not found|no matching manifest|does not exist", re.IGNORECASE
)
_NOT_THE_REGISTRY: Final = re.compile(r"executable file not found|error getting credentials", re.IGNORECASE)


def meaning(error: EngineError, reference: Reference, auth: Optional[str]) -> Exception:
    """The error of this room for what a pull or a look-up of `reference` ended with.

    What is not the registry's doing (no daemon, a cancelled call) stays what it is.
    """
    if isinstance(error, EngineTimeout):
        return RegistryFailed(f"{reference.familiar}: the registry {reference.domain} did not answer in time")
    if not isinstance(error, EngineRefused):
        return error
    words = hide(str(error).strip(), auth)
    if error.status == 429 or _LIMITED.search(words):
        text = f"the registry {reference.domain} limits how often it may be asked; try again later"
        return RegistryLimited(f"{text} ({words})")
    if _NOT_THE_REGISTRY.search(words):
        return RegistryFailed(words)
    if isinstance(error, Denied) or _DENIED.search(words):
        return RegistryDenied(f"{_who_may(reference, auth)} ({words})")
    if isinstance(error, NotFound) or _ABSENT.search(words):
        return ImageNotFound(words)
    return RegistryFailed(words)


def _who_may(reference: Reference, auth: Optional[str]) -> str:
    """What the user can do about a denial."""
    if auth:
        return f"the credentials for registry {reference.domain} were refused; they may have expired"
    return f"{reference.familiar} needs credentials for registry {reference.domain}, or there is no such image"
