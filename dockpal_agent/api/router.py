"""One table of routes, whichever transport asks: method, path pattern, handler.

`serve` is the way in for every transport: it finds the route, authenticates, calls the handler and turns what it raises
into an answer. A handler raises; it never shapes an error itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Callable, Final, Generic, Optional, TypeVar
from urllib.parse import unquote_to_bytes

from dockpal_agent.api.errors import BadRequest, MethodNotAllowed, NoSuchThing
from dockpal_agent.api.messages import Request, Response

__all__ = ["Match", "Route", "Router"]

A = TypeVar("A")

PATH_LIMIT: Final = 4096  # bytes of a path, encoded
SEGMENT_LIMIT: Final = 512  # characters of one decoded segment; an image reference is the longest thing in a path
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Route(Generic[A]):
    """A row of the table. `pattern` has no `/agent` prefix; `:name` takes one segment, `:name*` the rest.

    `public` needs no token. `stream` answers with messages: a WebSocket upgrade (or SSE) and `?token=` are taken here.
    `content` are the media types of bodies that the handler reads ("" is a body without one). `status_ignored` marks
    the calls for which the Server takes any answer over the line for success (protocol 7.2): unfinished work is not
    answered. `prompt` marks what is answered within seconds whatever Docker does: it need not wait behind what hangs.
    """

    method: str
    pattern: str
    handler: Callable[[A, Request], Response]
    public: bool = False
    stream: bool = False
    content: tuple[str, ...] = ("application/json", "")
    status_ignored: bool = False
    prompt: bool = False


@dataclass(frozen=True)
class Match(Generic[A]):
    """A route that fits and the request with its path parameters filled in."""

    route: Route[A]
    request: Request


class Router(Generic[A]):
    """Finds the route of a request. `aliases` maps odd forms of the field to the table's (`/compose/stop`)."""

    def __init__(self, routes: Iterable[Route[A]], aliases: Optional[Mapping[str, str]] = None) -> None:
        self.routes: Final = tuple(routes)
        self._aliases: Final = dict(aliases or {})
        self._compiled = [(tuple(route.pattern.strip("/").split("/")), route) for route in self.routes]

    def match(self, request: Request) -> Match[A]:
        """The route for `request`. Raises NoSuchThing, MethodNotAllowed, BadRequest (a path that cannot be)."""
        segments = self._segments(request.target)
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        best: Optional[tuple[int, Route[A], dict[str, str]]] = None
        for pattern, route in self._compiled:
            values = _fit(pattern, segments)
            if values is None:
                continue
            if route.method != method:
                allowed.append(route.method)
                if route.method == "GET":
                    allowed.append("HEAD")
            elif best is None or len(values) < best[0]:  # a literal segment wins over a parameter
                best = (len(values), route, values)
        if best is not None:
            _, route, values = best
            return Match(route, replace(request, path=values))
        if allowed:
            raise MethodNotAllowed(request.method, tuple(dict.fromkeys(allowed)))
        raise NoSuchThing("no such route")

    def _segments(self, target: str) -> list[str]:
        if len(target) > PATH_LIMIT:
            raise BadRequest(f"the path is too long: at most {PATH_LIMIT} bytes are accepted")
        path = target.partition("?")[0]
        if path == "/agent" or path.startswith("/agent/"):
            path = path[len("/agent") :]
        path = self._aliases.get(path, path)
        return [_decode(segment) for segment in path.strip("/").split("/")]


def _decode(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the path is not UTF-8") from error
    if len(text) > SEGMENT_LIMIT:
        raise BadRequest(f"a part of the path is too long: at most {SEGMENT_LIMIT} characters are accepted")
    if _CONTROL.search(text):
        raise BadRequest("the path contains control characters")
    return text


def _fit(pattern: tuple[str, ...], segments: list[str]) -> Optional[dict[str, str]]:
    """The parameters when `segments` fit `pattern`, else None. An empty segment fits no parameter."""
    values: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if part.endswith("*"):
            rest = segments[index:]
            if not rest or not all(rest):
                return None
            values[part[1:-1]] = "/".join(rest)
            return values
        if index >= len(segments):
            return None
        if part.startswith(":"):
            if not segments[index]:
                return None
            values[part[1:]] = segments[index]
        elif part != segments[index]:
            return None
    return values if len(pattern) == len(segments) else None
