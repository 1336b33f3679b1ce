"""Registry credentials on their way from a request to the Engine: checked, recoded, matched, and never kept.

The Server sends Docker's AuthConfig (`{"username","password","serveraddress"}`) in standard base64; the Engine's
X-Registry-Auth is base64url (RFC 4648 section 5). Both are taken, padded or not.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.images.errors import InvalidCredentials
from dockpal_agent.images.references import HUB, Reference

__all__ = ["Unusable", "for_reference", "hide", "recode"]

LENGTH_LIMIT: Final = 65536  # characters; a token of a cloud registry has some thousands
HUB_NAMES: Final = (HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "registry")
_SECRETS: Final = ("password", "identitytoken", "registrytoken", "auth")


@dataclass(frozen=True)
class Unusable:
    """Stands where credentials would: there are some, and `reason` says why they cannot be used."""

    reason: str


def recode(auth: Optional[str]) -> Optional[str]:
    """The value of X-Registry-Auth for `auth`, None for none at all. Raises InvalidCredentials, without their text."""
    text = (auth or "").strip()
    if not text:
        return None
    return base64.urlsafe_b64encode(json.dumps(_read(text)).encode("ascii")).decode("ascii")


def for_reference(auths: Optional[Mapping[str, Any]], reference: Reference, written: str = "") -> Optional[str]:
    """The credentials meant for an image, as X-Registry-Auth takes them; None where there are none.

    `auths` maps a registry's host (its port included, in any case), for Docker Hub also `index.docker.io` or
    `registry`, to credentials. A full reference or a part of a repository's path as the key is more particular and
    wins. `written` is the reference as the Compose file has it. Raises InvalidCredentials for those that match.
    """
    if not auths:
        return None
    known = {_key(key): value for key, value in auths.items() if value}
    for name in _names(reference, written):
        value = known.get(name)
        if value is not None:
            if isinstance(value, Unusable):
                raise InvalidCredentials(value.reason)
            if not isinstance(value, str):
                raise InvalidCredentials(f"the credentials for {name} must be base64 text")
            return recode(value)
    return None


def hide(text: str, auth: Optional[str]) -> str:
    """`text` with every secret of `auth` replaced by ***: what a registry echoes must not reach a log or an answer."""
    if not auth:
        return text
    secrets = [auth]
    try:
        value = _read(auth)
        secrets += [secret for name in _SECRETS if isinstance(secret := value.get(name), str)]
    except InvalidCredentials:
        pass  # then the text as it came is all there is to hide
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:  # shorter ones would blacken ordinary words
            text = text.replace(secret, "***")
    return text


def _read(text: str) -> dict[str, Any]:
    """The AuthConfig in any of base64's dresses. A blank was a `+` before a query was decoded."""
    if len(text) > LENGTH_LIMIT:
        raise InvalidCredentials("the registry credentials are too long")
    plain = text.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        value = json.loads(data) if data.count(b"{") + data.count(b"[") < 64 else None
    except (binascii.Error, ValueError):
        value = None
    if not isinstance(value, dict):
        raise InvalidCredentials(
            "the registry credentials are not valid: they must be base64 of a JSON object with username and password"
        ) from None
    return value


def _key(key: str) -> str:
    """A registry's key in one form: lower case, without scheme, `/v1` or `/v2`, and trailing slash."""
    text = key.strip().lower()
    _, scheme, rest = text.partition("://")
    text = (rest if scheme else text).rstrip("/")
    for version in ("/v1", "/v2"):
        if text.endswith(version):
            text = text[: -len(version)]
    return text


def _names(reference: Reference, written: str) -> Iterator[str]:
    """The keys that mean `reference`, the most particular first."""
    if written:
        yield _key(written)
    yield str(reference).lower()
    yield reference.familiar.lower()
    yield reference.familiar_repository.lower()
    parts = reference.repository.lower().split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    if reference.domain == HUB:
        yield from HUB_NAMES
