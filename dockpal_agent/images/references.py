"""Image references, read as Docker reads them (github.com/distribution/reference, its grammar and `normalize.go`).

nginx                       docker.io/library/nginx:latest
team/app@sha256:…           docker.io/team/app@sha256:…
localhost:5000/app:1        as it stands
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Optional

from dockpal_agent.images.errors import InvalidReference

__all__ = ["DEFAULT_TAG", "HUB", "Reference", "is_image_id", "parse"]

HUB: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
NAME_LIMIT: Final = 255  # characters of domain and path together
LENGTH_LIMIT: Final = 1024  # characters of all; a digest may be long
SHOWN: Final = 300  # characters of a wrong reference in a message

# The rule names of the grammar.
_PATH_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = re.compile(
    rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII
)
_PATH: Final = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", re.ASCII)
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_IMAGE_ID: Final = re.compile(r"sha256:[0-9a-f]{4,64}|[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """A named image: `domain/path[:tag][@digest]`, with a tag or a digest or both."""

    domain: str
    path: str
    tag: Optional[str] = None
    digest: Optional[str] = None

    @property
    def repository(self) -> str:
        """`docker.io/library/nginx`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """`nginx`: the repository as Docker shows it."""
        if self.domain != HUB:
            return self.repository
        return self.path[len("library/") :] if re.fullmatch(r"library/[^/]+", self.path) else self.path

    @property
    def familiar(self) -> str:
        """`nginx:latest`: what Docker shows, and the key under which images are kept apart."""
        return self.familiar_repository + self._suffix

    @property
    def version(self) -> str:
        """What the Engine's pull wants beside the repository: the digest, else the tag. Never empty, so that a pull
        of all tags cannot be asked for."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def pinned(self) -> bool:
        """Whether a digest fixes it: no newer image can come under it."""
        return self.digest is not None

    def without_version(self) -> Reference:
        """The repository alone."""
        return replace(self, tag=None, digest=None)

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.repository + self._suffix


def parse(text: str) -> Reference:
    """Read a reference; without tag and digest it gets `latest`. Raises InvalidReference, which says what is wrong."""
    text = text.strip()
    if not text:
        raise InvalidReference("an image reference is required, like nginx or registry.example.com/team/app:1.2")
    if len(text) > LENGTH_LIMIT:
        raise _wrong(text, "it is too long")
    if is_image_id(text):
        raise _wrong(text, "it is an image id, not a name")
    domain, remainder = _split_domain(text)
    name, at, digest = remainder.partition("@")
    path, colon, tag = name.partition(":")
    if path != path.lower():
        raise _wrong(text, "the repository name must be in lower case")
    if not _DOMAIN.fullmatch(domain):
        raise _wrong(text, f"{domain[:80]!r} is not the name of a registry")
    if not _PATH.fullmatch(path):
        raise _wrong(text, f"{path[:80]!r} is not the name of a repository")
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise _wrong(text, f"the name is longer than {NAME_LIMIT} characters")
    if colon and not _TAG.fullmatch(tag):
        raise _wrong(text, f"{tag[:80]!r} is not a tag")
    if at and not _is_digest(digest):
        raise _wrong(text, f"{digest[:80]!r} is not a digest")
    if not tag and not digest:
        tag = DEFAULT_TAG
    return Reference(domain, path, tag or None, digest or None)


def is_image_id(text: str) -> bool:
    """Whether `text` is an image's id, no name: `sha256:…`, whole or its beginning, or 64 hex digits."""
    return _IMAGE_ID.fullmatch(text) is not None


def _split_domain(text: str) -> tuple[str, str]:
    """The registry and the rest. A first part that looks like a host is a registry, all else is Docker Hub's."""
    first, slash, rest = text.partition("/")
    hostlike = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not hostlike:
        domain, remainder = HUB, text
    else:
        domain, remainder = first, rest
    if domain == "index.docker.io":  # its name of old
        domain = HUB
    if domain == HUB and "/" not in remainder:
        remainder = f"library/{remainder}"
    return domain, remainder


def _is_digest(text: str) -> bool:
    return bool(_SHA256.fullmatch(text) if text.startswith("sha256:") else _DIGEST.fullmatch(text))


def _wrong(text: str, reason: str) -> InvalidReference:
    return InvalidReference(f"invalid image reference {text[:SHOWN]!r}: {reason}")
