"""Apps: list, switch, update, and what became of updates (protocol 1.4 and 5)."""

from __future__ import annotations

from typing import Final, Optional

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.messages import End, Json, Message, Messages, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.apps.feed import View

__all__ = ["ROUTES"]

DEFAULT_LIMIT: Final = 50
MOST: Final = 1000  # records in one answer


def list_all(agent: Agent, request: Request) -> Response:
    """GET /docker/apps -> [AppSummary], by name."""
    return Json(agent.apps.list())


def set_auto_update(agent: Agent, request: Request) -> Response:
    """PATCH /docker/apps/:name/auto-update {"enabled"} -> {"ok": true, "note"?}.

    No container is restarted. `note` says what the stored Compose file does not say yet; the switch counts regardless.
    """
    enabled = request.json().get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise BadRequest("enabled must be true or false")
    note = agent.switch.set(request.path["name"], bool(enabled))
    return Json({"ok": True, "note": note} if note else {"ok": True})


def update(agent: Agent, request: Request) -> Response:
    """POST /docker/apps/:name/update -> 202 {"attempt_id"} once its record is written; the update goes on by itself.

    409 `update_already_running` while one runs.
    """
    return Json({"attempt_id": agent.updates.trigger(request.path["name"])}, 202)


def history(agent: Agent, request: Request) -> Response:
    """GET /docker/apps/:name/updates?limit= -> [AppUpdateRecord], newest first; [] for an unknown app."""
    records = agent.app_records.history(request.path["name"], _limit(request.query.get("limit", "")))
    return Json([record.as_json() for record in records])


def attempt(agent: Agent, request: Request) -> Response:
    """GET /docker/apps/updates/:attempt_id -> AppUpdateRecord; 404 `attempt not found`."""
    return Json(agent.app_records.get(request.path["attempt_id"]).as_json())


def watch(agent: Agent, request: Request) -> Response:
    """GET /docker/apps/updates/stream -> AppUpdateEvent objects: the last of each running attempt, then all to come."""
    return Messages(lambda: _Events(agent.update_feed.open()))


def _limit(text: str) -> int:
    """1–1000; anything else is 50, as the Server has it."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return number if 1 <= number <= MOST else DEFAULT_LIMIT


class _Events:
    """The feed as a stream of messages."""

    def __init__(self, view: View) -> None:
        self._view = view

    def next(self, timeout: float) -> Optional[Message]:
        """As MessageStream."""
        try:
            return self._view.next(timeout)
        except EOFError:
            raise End from None

    def close(self) -> None:
        """Leave."""
        self._view.close()


# An app may be called `updates`: no attempt has that for its id, so the history stands before the attempt.
ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/docker/apps", list_all),
    Route("PATCH", "/docker/apps/:name/auto-update", set_auto_update, status_ignored=True),
    Route("POST", "/docker/apps/:name/update", update),
    Route("GET", "/docker/apps/:name/updates", history),
    Route("GET", "/docker/apps/updates/stream", watch, stream=True),
    Route("GET", "/docker/apps/updates/:attempt_id", attempt),
)
