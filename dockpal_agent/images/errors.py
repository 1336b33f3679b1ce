"""What can go wrong with images.

ImageError                  root; str() is Docker's or the registry's own text, with what can be done about it
├─ InvalidReference         the text is not an image reference
├─ InvalidCredentials       the credentials are not what X-Registry-Auth takes
├─ ImageNotFound            no such image, here or in the registry
├─ ImageInUse               a container still uses it
├─ RegistryDenied           the registry wants other credentials, or any
├─ RegistryLimited          the registry has had enough of us for now
├─ RegistryFailed           the registry could not be reached, or failed; or Docker failed with what it sent
└─ TooManyPulls             as many pulls run as the agent runs at once
"""

from __future__ import annotations

__all__ = [
    "ImageError",
    "ImageInUse",
    "ImageNotFound",
    "InvalidCredentials",
    "InvalidReference",
    "RegistryDenied",
    "RegistryFailed",
    "RegistryLimited",
    "TooManyPulls",
]


class ImageError(Exception):
    """Root of all; the message is for the user."""


class InvalidReference(ImageError):
    """The text is not an image reference (distribution/reference grammar)."""


class InvalidCredentials(ImageError):
    """The credentials are not base64 of a JSON object; the message never holds them."""


class ImageNotFound(ImageError):
    """There is no such image on this host, or no such manifest in the registry."""


class ImageInUse(ImageError):
    """A container uses the image; removing it would take that container's ground away."""


class RegistryDenied(ImageError):
    """The registry refused: no credentials, wrong or expired ones, or no right to this repository."""


class RegistryLimited(ImageError):
    """The registry's rate limit is reached. Docker drops the registry's Retry-After, so none can be given."""


class RegistryFailed(ImageError):
    """The registry or the transfer failed."""


class TooManyPulls(ImageError):
    """The cap on pulls at once is reached."""
