"""Images: list, pull, check, prune, remove. Credentials are used for the one request and forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest, status_of
from dockpal_agent.api.messages import End, Json, Message, Messages, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.images import listing, removal
from dockpal_agent.images.check import check
from dockpal_agent.images.credentials import recode
from dockpal_agent.images.errors import InvalidCredentials, InvalidReference
from dockpal_agent.images.pulls import View
from dockpal_agent.images.references import Reference, parse

__all__ = ["ROUTES"]

WAIT_LIMIT: Final = 900.0  # seconds for an answer; the pull itself may take longer, and is joined by the next call


def list_all(agent: Agent, request: Request) -> Response:
    """GET /docker/images -> [ImageInfo], dangling ones too; one row an image, all its references in `tags`."""
    return Json(listing.list_images(agent.engine))


def pull(agent: Agent, request: Request) -> Response:
    """POST /docker/images/pull -> {"status": "pulled"}.

    `image` and `auth` come in the query (the Server) or as JSON {"image", "registry_auth"} (the original's clients).
    The pull goes on when the caller leaves, and the same call again joins it. `?stream=true`, or Accept:
    text/event-stream, answers with Docker's progress objects, then {"status": "pulled"} or {"error", "code"}.
    """
    reference, auth = _wanted(request)
    if request.query.flag("stream") or "text/event-stream" in request.headers.get("accept", "").lower():
        return Messages(lambda: _Progress(agent.pulls.watch(reference, auth)))
    agent.pulls.pull(reference, auth, within=WAIT_LIMIT)
    return Json({"status": "pulled"})


def check_for_update(agent: Agent, request: Request) -> Response:
    """GET /docker/images/check?image=&auth= -> ImageUpdateResult; 200 also when the registry could not be asked.

    The Server never sends `auth`: without it, the host's own credentials are used, as the monitor uses them.
    """
    image = request.query.get("image", "").strip()
    if not image:
        raise BadRequest("image is required")
    result = check(agent.engine, image, recode(request.query.get("auth")) or _own_login(agent, image))
    agent.checks.note(image, result)
    return Json(result.as_json())


def _own_login(agent: Agent, image: str) -> Optional[str]:
    """What DOCKPAL_REGISTRY_AUTH_FILE has for an image, None for nothing. What is wrong with it, or with the name, is
    for the check to say: a public image needs no credentials.
    """
    try:
        return agent.logins.auth_for(parse(image))
    except (InvalidReference, InvalidCredentials):
        return None


def prune(agent: Agent, request: Request) -> Response:
    """POST /docker/images/prune?dangling_only=true|false (absent: true) -> PruneResult."""
    return Json(removal.prune(agent.engine, dangling_only=request.query.flag("dangling_only", default=True)).as_json())


def remove(agent: Agent, request: Request) -> Response:
    """DELETE /docker/images/:id -> {"status": "removed"}. `:id` is an id, a row's shortened one, or a reference, whose
    slashes need not be percent-encoded. 404 for an unknown image, 409 while a container uses it."""
    removal.remove(agent.engine, request.path["id"])
    return Json({"status": "removed"})


def _wanted(request: Request) -> tuple[Reference, Optional[str]]:
    """What to pull and with which credentials; the query wins over the body."""
    body = request.json()
    image = request.query.get("image") or _text(body, "image")
    auth = request.query.get("auth") or _text(body, "registry_auth") or _text(body, "auth")
    if not image:
        raise BadRequest("image is required")
    return parse(image), recode(auth)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a string")
    return value


class _Progress:
    """A pull's progress as a stream of messages; its end, good or bad, is the last one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._over = False

    def next(self, timeout: float) -> Optional[Message]:
        """As MessageStream: Docker's progress objects, then how it ended."""
        if self._over:
            raise End
        try:
            return self._view.next(timeout)
        except EOFError:
            self._over = True
            return {"status": "pulled"}
        except Exception as error:
            code = status_of(error)
            if code is None:
                raise
            self._over = True
            return {"error": str(error), "code": code}

    def close(self) -> None:
        """Leave; the pull goes on."""
        self._over = True
        self._view.close()


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/docker/images", list_all),
    Route("POST", "/docker/images/pull", pull, status_ignored=True),
    Route("POST", "/docker/images/pull-force", pull, status_ignored=True),
    Route("GET", "/docker/images/check", check_for_update),
    Route("POST", "/docker/images/prune", prune, status_ignored=True),
    Route("DELETE", "/docker/images/:id*", remove, status_ignored=True),
)
