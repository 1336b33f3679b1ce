"""What goes wrong in a request itself, and the one table from error class to HTTP status.

No domain knows HTTP: its errors get their status here. `str(error)` is what the Server shows.
"""

from __future__ import annotations

from typing import Final, Optional

from dockpal_agent.apps.choices import ChoicesFailed
from dockpal_agent.apps.listing import NoSuchApp
from dockpal_agent.apps.records import NoSuchAttempt, RecordsFailed
from dockpal_agent.apps.updates import AlreadyRunning, TooManyUpdates
from dockpal_agent.compose import errors as compose
from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.deployevents import NoSuchDeploy, TooManyViewers
from dockpal_agent.compose.deployrequest import InvalidDeploy
from dockpal_agent.compose.lanes import QueueFull, Stopping
from dockpal_agent.compose.locks import Locked
from dockpal_agent.compose.plan import PlanRefused
from dockpal_agent.compose.prepare import NameClash, NoHostPath
from dockpal_agent.compose.running import NoSuchProject
from dockpal_agent.compose.stored import NotOurFile, StoredFailed
from dockpal_agent.containers.edit import InvalidEdit
from dockpal_agent.containers.image_change import CannotEdit
from dockpal_agent.containers.journal import JournalFailed, Settling, Taken
from dockpal_agent.containers.own import Protected
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.containers.replace import ReplacementFailed
from dockpal_agent.containers.turns import Busy
from dockpal_agent.engine import errors as engine
from dockpal_agent.files import errors as files
from dockpal_agent.images import errors as images

__all__ = [
    "ApiError",
    "BadRequest",
    "BodyTooLarge",
    "Conflict",
    "Forbidden",
    "MethodNotAllowed",
    "NoSuchThing",
    "NotAvailable",
    "NotInTime",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
    "status_of",
]


class ApiError(Exception):
    """A request that cannot be served as it is. `status` is HTTP's (RFC 9110 section 15)."""

    status = 500

    def __init__(self, message: str, *, headers: Optional[dict[str, str]] = None) -> None:
        super().__init__(message)
        self.headers: Final = headers or {}


class BadRequest(ApiError):
    """The request is malformed, or a value in it is not what it must be."""

    status = 400


class Unauthorized(ApiError):
    """No token came, or a wrong one."""

    status = 401


class Forbidden(ApiError):
    """The request is understood and refused (a protected path)."""

    status = 403


class NoSuchThing(ApiError):
    """The route, or what it names, does not exist."""

    status = 404


class MethodNotAllowed(ApiError):
    """The path exists, the method does not; the Allow field names those that do."""

    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not allowed here", headers={"Allow": ", ".join(allowed)})


class Conflict(ApiError):
    """The state of the thing does not allow it (a protected container, a second update)."""

    status = 409


class BodyTooLarge(ApiError):
    """The body is longer than this route takes."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is too large: at most {limit} bytes are accepted here")


class UnsupportedMediaType(ApiError):
    """The body's media type is not one that this route reads."""

    status = 415


class TooManyRequests(ApiError):
    """A cap is reached for this caller."""

    status = 429


class NotAvailable(ApiError):
    """A cap of the agent itself is reached; Retry-After says when to come back."""

    status = 503


class NotInTime(ApiError):
    """The work goes on, longer than an answer may be waited for."""

    status = 504


# From error class to status, the most particular first. Docker's own refusals keep their meaning; what Docker or a
# registry failed at is a bad gateway, what it was too slow for a gateway time-out.
STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (Protected, 409),
    (InvalidEdit, 400),
    (CannotEdit, 409),
    (Busy, 409),
    (NotProven, 409),  # what the user asked for does not run
    (Taken, 409),
    (Settling, 503),
    (JournalFailed, 507),
    (InvalidDeploy, 400),
    (compose.ComposeTooLarge, 413),
    (compose.ComposeInvalid, 400),
    (compose.ComposeUnsupported, 400),
    (compose.ComposeUnread, 503),
    (compose.ComposeError, 400),
    (NameClash, 409),
    (NoHostPath, 409),
    (PlanRefused, 409),
    (NoSuchProject, 404),
    (NoSuchDeploy, 404),
    (TooManyViewers, 503),
    (QueueFull, 429),
    (Locked, 409),
    (Stopping, 503),
    (NotOurFile, 409),
    (StoredFailed, 507),
    (NoSuchApp, 404),
    (NoSuchAttempt, 404),
    (AlreadyRunning, 409),
    (TooManyUpdates, 503),
    (RecordsFailed, 507),
    (ChoicesFailed, 507),
    (files.BadPath, 400),
    (files.WrongKind, 400),
    (files.ProtectedPath, 403),
    (files.PathNotFound, 404),
    (files.OutOfReach, 409),
    (files.TooLarge, 413),
    (files.NoProgram, 501),
    (files.TooSlow, 504),
    (files.SpoolFull, 507),
    (files.FilesError, 502),
    (images.InvalidReference, 400),
    (images.InvalidCredentials, 400),
    (images.RegistryDenied, 403),  # never 401: that would mean the agent's own token
    (images.ImageNotFound, 404),
    (images.ImageInUse, 409),
    (images.RegistryLimited, 429),
    (images.TooManyPulls, 503),
    (images.ImageError, 502),
    (engine.BadParameter, 400),
    (engine.Denied, 403),
    (engine.NotFound, 404),
    (engine.Conflict, 409),
    (engine.EngineUnavailable, 503),
    (engine.EngineTimeout, 504),
    (engine.EngineCancelled, 503),
    (engine.EngineError, 502),
)


def status_of(error: Exception) -> Optional[int]:
    """The status for `error`, None for one that nobody foresaw."""
    if isinstance(error, ApiError):
        return error.status
    if isinstance(error, (ReplacementFailed, ConvergeFailed)):  # its text says the rest, its cause what kind it was
        return status_of(error.__cause__) if isinstance(error.__cause__, Exception) else 502
    return next((status for kind, status in STATUS if isinstance(error, kind)), None)
