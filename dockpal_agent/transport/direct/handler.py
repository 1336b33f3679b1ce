"""One connection in its own thread: the TLS handshake, then request after request, each answered in one write.

`http.server` gives the loop; how it reads a request is replaced (`head.py`, `body.py`), being too lenient for a port
that is open to the world, and how it writes one, which is a write for each line.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import Final, Optional, Protocol

from dockpal_agent.api.errors import ApiError
from dockpal_agent.api.messages import Body, ByteStream, Json, MessageStream, Query, Request, Response
from dockpal_agent.transport.direct.answer import answer_head, has_no_body
from dockpal_agent.transport.direct.body import RequestBody
from dockpal_agent.transport.direct.bytestream import BrokenOff, send_parts
from dockpal_agent.transport.direct.connections import Admission, Connection, Connections, Phase
from dockpal_agent.transport.direct.head import Head, HeadError, parse_head, read_head
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.opening import check_opening, opening_answer, wants_websocket
from dockpal_agent.transport.direct.viewer import Viewer, relay
from dockpal_agent.transport.direct.wire import Wire

__all__ = ["Handler", "House", "Service"]

log = logging.getLogger(__name__)

RETRY_AFTER: Final = "5"  # seconds, said to those who find all places taken
STREAM_BUFFER: Final = 128 << 10  # of the kernel, for a viewer: what it has not taken is kept there, not in a backlog


class Service(Protocol):
    """What answers requests: the api."""

    def answer(self, request: Request) -> Response:
        """Answer; never raises."""

    def failure(self, error: Exception) -> Json:
        """The answer that tells `error`."""


class House(Protocol):
    """What the server gives to all its connections."""

    @property
    def service(self) -> Service:
        """What answers."""

    @property
    def limits(self) -> Limits:
        """The bounds of each connection."""

    @property
    def connections(self) -> Connections:
        """All connections, this one among them."""

    def context(self) -> Optional[ssl.SSLContext]:
        """The TLS context with the current certificate, None for plain HTTP."""


class Handler(BaseHTTPRequestHandler):
    """Serves one connection until it ends. Everything happens in the constructor, as `socketserver` has it."""

    def __init__(self, connection: Connection, house: House, server: object) -> None:
        self._place = connection
        self._house = house
        self._limits = house.limits
        self._refused = connection.admission is Admission.REFUSED
        self._wire: Optional[Wire] = None
        self._unread = False  # the peer may have sent what we did not read
        self._first = True
        self._broken_off = False
        super().__init__(connection.socket, (connection.peer, 0), server)  # type: ignore[arg-type]

    def setup(self) -> None:
        """Nothing yet: the handshake belongs to `handle`, so that `finish` follows it whatever happens."""

    def handle(self) -> None:
        """Serve requests until either side has had enough."""
        try:
            self._wire = self._secure()
            if self._wire is not None:
                super().handle()
        except OSError as error:  # the peer left or was too slow; who is to be told would be the peer
            log.debug("connection of %s ended: %s", self._place.peer, error)

    def finish(self) -> None:
        """Close the connection, with an end that the peer can tell from a break."""
        if self._wire is not None and not self._broken_off:
            self._wire.end(self._limits.drain if self._unread else 0.0)
        with contextlib.suppress(OSError):
            self._place.socket.close()

    def _secure(self) -> Optional[Wire]:
        context = self._house.context()
        connection = self._place.socket
        if context is None:
            return Wire(connection)
        within = self._limits.refusal if self._refused else self._limits.handshake
        connection.settimeout(within)
        wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        if not self._house.connections.wrap(self._place, wrapped):
            return None
        wrapped.settimeout(within)  # of the whole handshake: CPython counts it across its reads and writes
        try:
            wrapped.do_handshake()
        except ssl.SSLError as error:
            self._explain(wrapped, error)
            return None
        # A client with Nagle's algorithm holds its request back until its last handshake message is acknowledged. We
        # have nothing to say that could carry the acknowledgement, and the kernel would delay it by 40 ms.
        wrapped.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return Wire(wrapped)

    def _explain(self, connection: ssl.SSLSocket, error: ssl.SSLError) -> None:
        log.debug("TLS handshake with %s failed: %s", self._place.peer, error)
        if error.reason == "HTTP_REQUEST":
            body = b'{"error":"this port speaks TLS: use https"}'
            fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
            socket.socket.send(connection, answer_head(400, fields) + body)  # below TLS
            Wire(connection).end(self._limits.drain)

    # -- requests --

    def handle_one_request(self) -> None:
        """Read and answer one request; `close_connection` says whether it was the last."""
        self.close_connection = True
        assert self._wire is not None
        try:
            head = self._read_head(self._wire)
            if head is None:
                return
            upgrade = wants_websocket(head)
            if upgrade:
                check_opening(head)
            query = Query.parse(head.query)
        except ApiError as error:
            self._unread = True
            self._send_json(None, Json({"error": str(error)}, error.status, error.headers))
            return
        if self._refused:
            self._unread = True
            text = "all connections of the agent are in use; try again in a moment"
            self._send_json(None, Json({"error": text}, 503, {"Retry-After": RETRY_AFTER}))
        elif self._house.connections.enter(self._place, Phase.BUSY):
            self._serve(self._wire, head, query, upgrade)

    def _read_head(self, wire: Wire) -> Optional[Head]:
        """The next request's head; None where none comes, or comes in time. Raises HeadError."""
        connections, first = self._house.connections, self._first
        if not first and not connections.enter(self._place, Phase.IDLE):
            return None
        self._first = False
        head_limit = self._limits.refusal if self._refused else self._limits.head
        wire.within(head_limit if first else self._limits.idle)
        try:
            wire.reader.peek(1)
        except TimeoutError:
            return None
        if not first:
            if not connections.enter(self._place, Phase.ASKING):
                return None
            wire.within(head_limit)
        try:
            lines = read_head(wire.reader, self._limits)
        except TimeoutError as error:
            raise HeadError(408, "the request's header came too slowly") from error
        return None if lines is None else parse_head(lines)

    def _serve(self, wire: Wire, head: Head, query: Query, upgrade: bool) -> None:
        began = time.monotonic()
        body = RequestBody(wire, head.length, self._limits, self._invite if head.expects_continue else None)
        response = self._house.service.answer(self._request(head, query, body, upgrade))
        kept = self._render(wire, head, body, response)
        if kept and not body.ended:
            kept = body.drain()
        self.close_connection = not kept
        self._unread = self._unread or not body.ended
        log.debug("%s %s: %.1f ms", head.method, head.target, (time.monotonic() - began) * 1000)

    def _request(self, head: Head, query: Query, body: RequestBody, upgrade: bool) -> Request:
        return Request(
            method=head.method,
            target=head.target,
            query=query,
            headers=head.fields,
            body=Body(body.read_some, head.length, head.fields.get("content-type", "")),
            peer=self._place.peer,
            upgrade=upgrade,
        )

    def _invite(self) -> None:
        assert self._wire is not None
        self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n", self._limits.send)

    # -- answers --

    def _render(self, wire: Wire, head: Head, body: RequestBody, response: Response) -> bool:
        """Write the answer; whether the connection may be kept."""
        kept = head.keep_alive and body.drainable and not self._house.connections.stopping
        if isinstance(response, Json):
            self._send_json(head if kept else None, response, bodiless=head.method == "HEAD")
            return kept
        if isinstance(response, ByteStream):
            try:
                return self._send_bytes(wire, head, response, kept)
            except BrokenOff as error:
                log.warning("%s %s: the answer broke off: %s", head.method, head.target, error)
                self._break_off()
                return False
        try:
            stream = response.open()
        except Exception as error:  # noqa: BLE001  # what a stream raises before it flows is its answer
            self._send_json(head if kept else None, self._house.service.failure(error))
            return kept
        self._send_messages(wire, head, stream)
        return False

    def _send_json(self, kept: Optional[Head], answer: Json, *, bodiless: bool = False) -> None:
        """Write a JSON answer in one go. `kept` is the request whose connection stays open, None when it closes."""
        assert self._wire is not None
        fields = dict(answer.headers)
        data = b""
        if not has_no_body(answer.status):
            data = answer.encode()
            fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **fields}
        head = answer_head(answer.status, {**fields, **_persistence(kept)})
        self._wire.write(head if bodiless else head + data, self._limits.send)
        if answer.then is not None:
            answer.then()

    def _send_bytes(self, wire: Wire, head: Head, stream: ByteStream, kept: bool) -> bool:
        """Write a stream of bytes; whether its end could be told, so that the connection may be kept."""
        chunked = stream.length is None and head.minor == 1
        kept = kept and (chunked or stream.length is not None)
        framing = {"Transfer-Encoding": "chunked"} if chunked else {}
        if stream.length is not None:
            framing = {"Content-Length": str(stream.length)}
        persistence = _persistence(head if kept else None)
        fields = {"Content-Type": stream.content_type, **stream.headers, **framing, **persistence}
        with contextlib.closing(stream):
            if head.method == "HEAD":
                wire.write(answer_head(stream.status, fields), self._limits.send)
                return kept
            try:
                first = next(stream.chunks, b"")
            except Exception as error:  # noqa: BLE001  # nothing is sent yet: this is still a status
                self._send_json(head if kept else None, self._house.service.failure(error))
                return kept
            start = answer_head(stream.status, fields)
            send_parts(
                wire, start, first, stream.chunks, length=stream.length, chunked=chunked, within=self._limits.send
            )
        return kept

    def _break_off(self) -> None:
        """Reset the connection: an orderly end could be taken for the end of the answer."""
        self._broken_off = True
        with contextlib.suppress(OSError):
            self._place.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send_messages(self, wire: Wire, head: Head, stream: MessageStream) -> None:
        """Serve a viewer to its end. `stream` is closed in any case."""
        try:
            viewer = self._greet(wire, head, stream)
        except BaseException:
            stream.close()
            raise
        if viewer is None:
            stream.close()
            return
        connections = self._house.connections
        connections.enter(self._place, Phase.STREAMING)
        self._unread = True
        relay(stream, viewer, poll=self._limits.poll, stopping=lambda: connections.stopping)

    def _greet(self, wire: Wire, head: Head, stream: MessageStream) -> Optional[Viewer]:
        """Answer with 101 or the head of an event stream; None for a HEAD request, which has its answer then."""
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)
        early = wire.buffered()
        if wants_websocket(head):
            from dockpal_agent.transport.direct.websocket import WebSocketViewer  # wsproto only where it is needed

            wire.write(opening_answer(head), self._limits.send)
            return WebSocketViewer(wire, self._limits, stream, early)
        from dockpal_agent.transport.direct.sse import SSE_FIELDS, EventViewer

        chunked = head.minor == 1
        fields = {**SSE_FIELDS, "Connection": "close"}
        if chunked:
            fields["Transfer-Encoding"] = "chunked"
        wire.write(answer_head(200, fields), self._limits.send)
        return None if head.method == "HEAD" else EventViewer(wire, self._limits, chunked=chunked)


def _persistence(kept: Optional[Head]) -> dict[str, str]:
    if kept is None:
        return {"Connection": "close"}
    return {} if kept.minor else {"Connection": "keep-alive"}
