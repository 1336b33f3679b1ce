"""The Server's side of the line: Origin equal to Host, the token first, types checked, first response counts.

What the real Server does not forgive, this one does not: it then drops the line and notes it in `violations`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Upgrade
from websockets.http11 import Response as UpgradeResponse
from websockets.sync.server import Server, ServerConnection, serve

__all__ = ["BOUND", "CONNECT_PATH", "Line", "Reply", "StandIn", "wait_until"]

CONNECT_PATH = "/api/agent/connect"
_QUIET = logging.getLogger("standin")  # what its library says is not what the tests look at
_QUIET.setLevel(logging.CRITICAL)
BOUND = 20.0  # seconds that a test waits for what should happen at once


def wait_until(condition: Callable[[], Any], what: str, within: float = BOUND) -> Any:
    """The first true value of `condition`, looked at often; AssertionError when there was none in time."""
    until = time.monotonic() + within
    gap = threading.Event()
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        gap.wait(0.01)
    raise AssertionError(f"not within {within:g} s: {what}")


@dataclass
class Reply:
    """The first response to a request id."""

    status: int
    body: Any
    stream: bool
    chunk: Optional[int]
    data: Optional[str]
    size: int = 0


class Violation(Exception):
    """A message for which the real Server drops the line."""


@dataclass
class Line:
    """One line of an agent, from its token to its end."""

    connection: ServerConnection
    token: str
    server: StandIn
    replies: dict[str, Reply] = field(default_factory=dict)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)  # request ids that were answered again, or never asked
    asked: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)
    close_code: Optional[int] = None
    stalled: Optional[threading.Event] = None  # while it is there and not set, nothing is read
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def send(self, text: str) -> None:
        """Send any text, a request or not."""
        self.connection.send(text)

    def ask(self, method: str, path: str, query: Optional[dict[str, str]] = None, body: Any = None) -> str:
        """Send a request; its id."""
        request_id = f"req-{next(self.server.ids)}"
        message: dict[str, Any] = {"request_id": request_id, "method": method, "path": path}
        if query:
            message["query"] = query
        if body is not None:
            message["body"] = body
        self.asked.add(request_id)
        self.connection.send(json.dumps(message))
        return request_id

    def reply(self, request_id: str, within: float = BOUND) -> Reply:
        """The answer to a request id."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: request_id in self.replies or self.ended.is_set(), within)
            if request_id in self.replies:
                return self.replies[request_id]
        raise AssertionError(f"{request_id}: {'the line ended' if arrived else f'no answer within {within:g} s'}")

    def call(
        self, method: str, path: str, query: Optional[dict[str, str]] = None, body: Any = None, within: float = BOUND
    ) -> Reply:
        """Ask and wait for the answer."""
        return self.reply(self.ask(method, path, query, body), within)

    def answered(self, request_id: str) -> bool:
        return request_id in self.replies

    def follow(self, deploy_id: str, within: float = BOUND) -> Iterator[Reply]:
        """A deploy's events as the Server asks for them, one request after the other, the end included."""
        while True:
            reply = self.call("GET", f"/docker/deploy/stream/{deploy_id}", {"stream": "true"}, within=within)
            yield reply
            if not reply.stream or not reply.chunk or reply.status >= 400:
                return

    def cut(self) -> None:
        """End the TCP connection without a close frame."""
        with contextlib.suppress(OSError):
            self.connection.socket.shutdown(socket.SHUT_RDWR)

    def read(self) -> None:
        """Take messages until the line ends, checking each."""
        try:
            for message in self.connection:
                self._take(message)
                if self.stalled is not None:
                    self.stalled.wait(BOUND)
        except ConnectionClosed:
            pass
        except Violation as violation:
            self.server.violations.append(str(violation))
            self.cut()
        finally:
            self.close_code = self.connection.close_code
            with self._arrived:
                self.ended.set()
                self._arrived.notify_all()

    def _take(self, message: Any) -> None:
        value = _decode(message)
        if value.get("type") == "heartbeat" and "request_id" not in value:
            self.heartbeats.append(value)
            return
        request_id, reply = _response(value, len(message))
        with self._arrived:
            if request_id in self.replies or request_id not in self.asked:
                self.surplus.append(request_id)
            else:
                self.replies[request_id] = reply
            self._arrived.notify_all()


def _decode(message: Any) -> dict[str, Any]:
    if not isinstance(message, str):
        raise Violation("a binary message")
    try:
        value = json.loads(message, parse_constant=_no_constant)
    except ValueError as error:
        raise Violation(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Violation("not a JSON object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _response(value: dict[str, Any], size: int) -> tuple[str, Reply]:
    kinds: dict[str, type] = {"request_id": str, "status": int, "stream": bool, "chunk": int, "data": str}
    for name, kind in kinds.items():
        if name in value and type(value[name]) is not kind:
            raise Violation(f"{name} is {type(value[name]).__name__}")
    for name in ("request_id", "status", "stream"):
        if name not in value:
            raise Violation(f"{name} is missing")
    reply = Reply(value["status"], value.get("body"), value["stream"], value.get("chunk"), value.get("data"), size)
    return value["request_id"], reply


class StandIn:
    """Listens on loopback. `upgrades_per_minute` is the limit for one address; `refusals` are answered first."""

    def __init__(
        self,
        token: str = "secret-token",
        *,
        tls: Optional[ssl.SSLContext] = None,
        host: str = "127.0.0.1",
        port: int = 0,
        upgrades_per_minute: int = 1_000_000,
        token_within: float = 10.0,
        ask_host_info: bool = True,
        hold_old_line: bool = False,
        max_queue: Optional[int] = 16,
    ) -> None:
        self.token = token
        self.ids = itertools.count(1)
        self.violations: list[str] = []
        self.lines: list[Line] = []
        self.upgrades: list[float] = []  # when each came, refused ones included
        self.first_messages: list[str] = []
        self.origins: list[str] = []
        self.targets: list[str] = []
        self.refusals: list[tuple[int, dict[str, str], bytes]] = []
        self.comparing: Optional[threading.Event] = None  # while it is there and not set, no token is found yet
        self.close_early = 0  # so many lines are closed right after the token, as if an old one were held
        self.expected_host = ""  # what a proxy in front made of Host
        self._upgrades_per_minute = upgrades_per_minute
        self._admitted: list[float] = []  # of the last minute: what is refused with 429 does not count, all else does
        self._token_within = token_within
        self._ask_host_info = ask_host_info
        self._hold_old_line = hold_old_line
        self._changed = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server: Server = serve(
            self._handle,
            sock=socket.create_server((host, port), family=family),
            ssl=tls,
            process_request=self._admit,
            logger=_QUIET,
            ping_interval=None,
            compression=None,
            max_size=None,
            max_queue=max_queue,
            close_timeout=1,
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="standin", daemon=True)
        self._thread.start()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every line."""
        self._server.shutdown()
        for line in self.lines:
            line.cut()
        self._thread.join(BOUND)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed before it began
            self._server.serve_forever()

    def line(self, number: int = 1, within: float = BOUND) -> Line:
        """The n-th line whose token was right."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.lines) >= number, within):
                raise AssertionError(f"there were {len(self.lines)} lines within {within:g} s, not {number}")
            return self.lines[number - 1]

    def _admit(self, connection: ServerConnection, request: Upgrade) -> Optional[UpgradeResponse]:
        now = time.monotonic()
        self.upgrades.append(now)
        self.targets.append(request.path)
        self._admitted = [when for when in self._admitted if when > now - 60]
        if len(self._admitted) >= self._upgrades_per_minute:
            answer = connection.respond(HTTPStatus.TOO_MANY_REQUESTS, '{"error":"rate limit exceeded"}')
            answer.headers["Retry-After"] = str(int(self._admitted[0] + 60 - now) + 1)
            return answer
        self._admitted.append(now)
        if self.refusals:
            status, headers, body = self.refusals.pop(0)
            answer = connection.respond(HTTPStatus(status), body.decode())
            for name, value in headers.items():
                answer.headers[name] = value
            return answer
        if request.path.partition("?")[0] != CONNECT_PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, "404 page not found")
        origin = request.headers.get("Origin", "")
        self.origins.append(origin)
        if not origin or urlsplit(origin).netloc != (self.expected_host or request.headers["Host"]):
            return connection.respond(HTTPStatus.FORBIDDEN, "request origin not allowed")
        return None

    def _handle(self, connection: ServerConnection) -> None:
        try:
            first = connection.recv(timeout=self._token_within)
        except TimeoutError:
            connection.close(4001, "authentication timeout")
            return
        except ConnectionClosed:
            return
        self.first_messages.append(str(first))
        if self.comparing is not None:
            self.comparing.wait(BOUND)
        if _token(first) != self.token:
            connection.close(4001, "authentication failed")
            return
        line = Line(connection, self.token, self)
        if self._closes_at_once():
            line.cut()
            return
        if self._ask_host_info:
            line.ask("GET", "/agent/host-info")
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()
        line.read()

    def _closes_at_once(self) -> bool:
        """The old reader's clean-up removes the newcomer, while the old line is held (protocol 7.1)."""
        if self.close_early > 0:
            self.close_early -= 1
            return True
        held = [line for line in self.lines if not line.ended.is_set()] if self._hold_old_line else []
        for line in held:
            line.cut()
        return bool(held)


def _token(first: Any) -> Any:
    try:
        value = json.loads(first)
    except ValueError:
        return None
    return value.get("token") if isinstance(value, dict) and set(value) == {"token"} else None
