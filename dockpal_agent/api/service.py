"""The one call that a transport makes: a request in, an answer out, never an exception."""

from __future__ import annotations

import logging
import secrets
from typing import Final, Generic, Optional, TypeVar

from dockpal_agent.api.auth import Guard
from dockpal_agent.api.errors import ApiError, MethodNotAllowed, NoSuchThing, UnsupportedMediaType, status_of
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Match, Route, Router

__all__ = ["Service"]

A = TypeVar("A")
log = logging.getLogger(__name__)


class Service(Generic[A]):
    """Routes, authenticates, calls the handler, and turns what it raises into `{"error": …}` and a status."""

    def __init__(self, router: Router[A], guard: Guard, agent: A) -> None:
        self._router: Final = router
        self._guard: Final = guard
        self.agent: Final = agent

    def answer(self, request: Request, *, trusted: bool = False) -> Response:
        """Serve one request. `trusted` is for a transport that has authenticated its peer itself (the line)."""
        try:
            match = self._match(request, trusted)
            _check_content(match)
            return match.route.handler(self.agent, match.request)
        except Exception as error:  # noqa: BLE001 - the boundary of a request: whatever a handler raises becomes its answer
            return self.failure(error)

    def status_ignored(self, request: Request) -> bool:
        """Whether the Server takes any answer to this request over the line for success (protocol 7.2)."""
        route = self._route(request)
        return route is not None and route.status_ignored

    def prompt(self, request: Request) -> bool:
        """Whether this request is answered within seconds, whatever Docker does."""
        route = self._route(request)
        return route is not None and route.prompt

    def failure(self, error: Exception) -> Json:
        """The answer for an exception. What nobody foresaw is logged with its trace and answered with a reference."""
        status = status_of(error)
        if status is not None:
            headers = error.headers if isinstance(error, ApiError) else {}
            return Json({"error": str(error) or type(error).__name__}, status, headers)
        reference = secrets.token_hex(6)
        log.error("request failed unexpectedly (reference %s)", reference, exc_info=error)
        text = f"the agent failed on this request ({type(error).__name__}); its log says more under {reference}"
        return Json({"error": text}, 500)

    def _route(self, request: Request) -> Optional[Route[A]]:
        try:
            return self._router.match(request).route
        except ApiError:
            return None

    def _match(self, request: Request, trusted: bool) -> Match[A]:
        unknown: Optional[ApiError] = None
        match: Optional[Match[A]] = None
        try:
            match = self._router.match(request)
        except (NoSuchThing, MethodNotAllowed) as error:
            unknown = error
        if not trusted and (match is None or not match.route.public):
            self._guard.check(request, in_query=request.upgrade and match is not None and match.route.stream)
        if match is None:
            assert unknown is not None
            raise unknown
        return match


def _check_content(match: Match[A]) -> None:
    body = match.request.body
    if body.length == 0 or match.request.method in ("GET", "HEAD"):
        return
    if body.length is None and not body.content_type:
        return
    if body.media_type not in match.route.content:
        accepted = ", ".join(kind for kind in match.route.content if kind)
        raise UnsupportedMediaType(f"the body must be {accepted or 'empty'}, not {body.media_type or 'without a type'}")
