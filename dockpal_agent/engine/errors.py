"""What can go wrong between the agent and the Docker daemon.

EngineError                 root; str() is Docker's own text where Docker spoke
├─ EngineUnavailable        no daemon at the socket: absent, refused, no permission, gone before it answered
├─ EngineTimeout            the daemon did not answer within the call's limit
├─ EngineBroken             the connection or the answer broke off, or what came is not what the Engine API says
├─ EngineCancelled          another thread cancelled this stream
└─ EngineRefused            the daemon answered with an error status; `.status` is the daemon's
   ├─ BadParameter 400
   ├─ Denied 401, 403
   ├─ NotFound 404
   ├─ Conflict 409
   └─ DaemonFailed 5xx
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BadParameter",
    "Conflict",
    "DaemonFailed",
    "Denied",
    "EngineBroken",
    "EngineCancelled",
    "EngineError",
    "EngineRefused",
    "EngineTimeout",
    "EngineUnavailable",
    "NotFound",
    "refusal",
]


class EngineError(Exception):
    """Root of all; the message is Docker's words where Docker spoke, else what the user can do."""


class EngineUnavailable(EngineError):
    """No daemon answers at the socket."""


class EngineTimeout(EngineError):
    """The daemon did not answer within the limit of the call; what it was asked for may still happen."""


class EngineBroken(EngineError):
    """The answer broke off, or is not what the Engine API promises."""


class EngineCancelled(EngineError):
    """The stream was cancelled by another thread."""


class EngineRefused(EngineError):
    """The daemon's own refusal; `status` is its HTTP status, the message its text."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status: Final = status


class BadParameter(EngineRefused):
    """400: the daemon does not accept what it was sent."""


class Denied(EngineRefused):
    """401 or 403: a registry or an authorization plug-in refused."""


class NotFound(EngineRefused):
    """404: no such container, image, network, volume, path."""


class Conflict(EngineRefused):
    """409: a name in use, an image in use, a container in the wrong state."""


class DaemonFailed(EngineRefused):
    """5xx: the daemon tried and failed (a port taken, a mount refused, a registry away)."""


_BY_STATUS: Final = {400: BadParameter, 401: Denied, 403: Denied, 404: NotFound, 409: Conflict}


def refusal(status: int, message: str) -> EngineRefused:
    """The exception for an error status of the daemon."""
    kind = _BY_STATUS.get(status) or (DaemonFailed if status >= 500 else EngineRefused)
    return kind(message, status)
