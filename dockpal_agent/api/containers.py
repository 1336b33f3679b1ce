"""Containers: list, inspect, lifecycle, figures, logs. What changes their settings is in api/container_edit.py."""

from __future__ import annotations

import logging
import re
import time
from typing import Final, Optional, Protocol

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.errors import BadRequest, NotAvailable
from dockpal_agent.api.messages import End, Json, Message, Messages, MessageStream, Query, Request, Response
from dockpal_agent.api.router import Route
from dockpal_agent.containers import describe, lifecycle
from dockpal_agent.containers.logs import LogOptions
from dockpal_agent.containers.moments import parse_moment
from dockpal_agent.containers.streams import Ended, TooMany
from dockpal_agent.durations import parse_duration
from dockpal_agent.engine import EngineError, containers

__all__ = ["ROUTES", "container_of"]

log = logging.getLogger(__name__)

TAIL: Final = 100  # lines of the past, where nobody says
LARGEST_TAIL: Final = 10_000_000  # lines
RETRY_AFTER: Final = "2"  # seconds until a place may be free again

_UNIX: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?", re.ASCII)
_REFERENCE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII)


def container_of(request: Request) -> str:
    """The path's id, id prefix or name. Raises BadRequest for what Docker would never give a container as a name."""
    reference = request.path["id"]
    if _REFERENCE.fullmatch(reference) is None:
        raise BadRequest("a container id or name is 1 to 255 letters, digits, dots, dashes and underscores")
    return reference


def list_all(agent: Agent, request: Request) -> Response:
    """GET /docker/containers?all=true|false (absent: false) -> [ContainerInfo]."""
    return Json(agent.inventory.list(all=request.query.flag("all")))


def inspect(agent: Agent, request: Request) -> Response:
    """GET /docker/containers/:id -> ContainerDetail."""
    found = containers.inspect(agent.engine, container_of(request))
    return Json(describe.detail(found, agent.own.reason(found)))


def start(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/start -> {"status": "started"}; also when it ran already."""
    lifecycle.start(agent.engine, container_of(request))
    return Json({"status": "started"})


def stop(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/stop?timeout=<seconds> -> {"status": "stopped"}; also when it was stopped already."""
    timeout = request.query.seconds("timeout")
    found = containers.inspect(agent.engine, container_of(request))
    agent.own.guard(found, "stop")
    lifecycle.stop(agent.engine, found, timeout)
    return Json({"status": "stopped"})


def restart(agent: Agent, request: Request) -> Response:
    """POST /docker/containers/:id/restart?timeout=<seconds> -> {"status": "restarted"}.

    The agent's own container restarts once the answer is on its way: afterwards there would be nobody to answer.
    """
    timeout = request.query.seconds("timeout")
    found = containers.inspect(agent.engine, container_of(request))
    if not agent.own.is_own(found):
        lifecycle.restart(agent.engine, found, timeout)
        return Json({"status": "restarted"})

    def restart_ourselves() -> None:
        log.info("container %s: restarting, as it was asked to; it is our own", describe.name_of(found))
        try:
            lifecycle.restart(agent.engine, found, timeout)
        except EngineError as error:
            log.error("container %s: the restart failed: %s", describe.name_of(found), error)

    return Json({"status": "restarted"}, then=restart_ourselves)


def remove(agent: Agent, request: Request) -> Response:
    """DELETE /docker/containers/:id?force=true|false (absent: false) -> {"status": "removed"}; volumes stay."""
    force = request.query.flag("force")
    found = containers.inspect(agent.engine, container_of(request))
    agent.own.guard(found, "remove")
    lifecycle.remove(agent.engine, found, force=force)
    return Json({"status": "removed"})


def stats(agent: Agent, request: Request) -> Response:
    """GET /docker/containers/:id/stats -> Stats; zeros for a container that does not run."""
    try:
        return Json(agent.stats.figures(container_of(request)))
    except TooMany as error:
        raise NotAvailable(str(error), headers={"Retry-After": RETRY_AFTER}) from error


def stats_stream(agent: Agent, request: Request) -> Response:
    """GET /docker/containers/:id/stats/ws -> a Stats every 2 s; trouble comes as one {"error": …}, then the end."""
    container = container_of(request)

    def watch() -> MessageStream:
        try:
            return _Relayed(agent.stats.watch(container))
        except TooMany as error:
            raise NotAvailable(str(error), headers={"Retry-After": RETRY_AFTER}) from error

    return Messages(watch)


def logs(agent: Agent, request: Request) -> Response:
    """GET /docker/containers/:id/logs?tail=&follow=&since=&timestamps=&format= -> Docker's frames (protocol 3).

    `tail` is lines or `all` (absent: 100), `since` a Unix or RFC 3339 time or a duration back from now, `follow` is
    true unless it says otherwise, `format=text` gives text in the place of frames.
    """
    container, query = container_of(request), request.query
    form = query.get("format", "")
    if form not in ("", "frames", "text"):
        raise BadRequest("format must be text or frames")
    options = LogOptions(
        tail=_tail(query),
        follow=query.flag("follow", True),
        since_ns=_since(query),
        timestamps=query.flag("timestamps"),
        plain=form == "text",
    )
    return Messages(lambda: _Relayed(agent.logs.open(container, options)))


def _tail(query: Query) -> Optional[int]:
    """Lines of the past, None for all of them. Raises BadRequest."""
    if query.get("tail", "").lower() == "all":
        return None
    try:
        return query.integer("tail", TAIL, least=0, most=LARGEST_TAIL)
    except BadRequest as error:
        raise BadRequest(f"tail must be a number of lines up to {LARGEST_TAIL}, or all") from error


def _since(query: Query) -> Optional[int]:
    """Unix nanoseconds, None where nothing is said. Raises BadRequest."""
    text = query.get("since", "")
    if not text:
        return None
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        return int(unix.group(1)) * 10**9 + int((unix.group(2) or "0").ljust(9, "0"))
    back = parse_duration(text) if len(text) < 32 else None
    moment = parse_moment(text) if back is None else time.time_ns() - int(back * 1e9)
    if moment is None or moment < 0:
        raise BadRequest("since must be a Unix time, an RFC 3339 time or a duration like 10m")
    return moment


class _Stream(Protocol):
    """What the container rooms give a viewer."""

    def next(self, timeout: float) -> Optional[Message]:
        """The next message, None after `timeout` seconds. Raises Ended."""

    def close(self) -> None:
        """Let go."""


class _Relayed:
    """A room's stream as a transport takes it: the room knows nothing of the api, nor of its End."""

    def __init__(self, stream: _Stream) -> None:
        self._stream: Final = stream
        self.close: Final = stream.close

    def next(self, timeout: float) -> Optional[Message]:
        """See MessageStream."""
        try:
            return self._stream.next(timeout)
        except Ended as end:
            raise End(end.reason, end.code) from None


ROUTES: Final[tuple[Route[Agent], ...]] = (
    Route("GET", "/docker/containers", list_all),
    Route("GET", "/docker/containers/:id", inspect),
    Route("POST", "/docker/containers/:id/start", start, status_ignored=True),
    Route("POST", "/docker/containers/:id/stop", stop, status_ignored=True),
    Route("POST", "/docker/containers/:id/restart", restart, status_ignored=True),
    Route("DELETE", "/docker/containers/:id", remove, status_ignored=True),
    Route("GET", "/docker/containers/:id/stats", stats),
    Route("GET", "/docker/containers/:id/stats/ws", stats_stream, stream=True),
    Route("GET", "/docker/containers/:id/logs", logs, stream=True),
)
