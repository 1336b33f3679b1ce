"""One open WebSocket: whole text messages in, text messages and control frames out, over websocket-client's frames.

The library masks, frames and parses (RFC 6455 section 5); what it leaves open is here: the largest message, what
control frames mean for us, and long messages cut into fragments, so that a ping need not wait behind a megabyte.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from typing import Callable, Final, Optional

from websocket import (
    ABNF,
    WebSocket,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketProtocolException,
    WebSocketTimeoutException,
)
from websocket._abnf import frame_buffer

from dockpal_agent.transport.edge.errors import LineError, LineLost, LineSilent, TokenRefused
from dockpal_agent.transport.edge.limits import MESSAGE_LIMIT
from dockpal_agent.transport.edge.wire import Wire

__all__ = ["Connection", "FrameSocket"]

log = logging.getLogger(__name__)

FRAGMENT: Final = 16384  # bytes of one frame that we send
SKIP_LIMIT: Final = 8 * MESSAGE_LIMIT  # bytes; up to here a message that is too long is read and dropped
_DATA: Final = (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT)
_MEANING: Final = {1000: "normal", 1001: "going away", 1002: "protocol error", 1007: "invalid data", 1008: "policy",
                   1009: "message too big", 1011: "internal error", 1012: "restart", 1013: "try later"}  # fmt: skip


class _Frames(frame_buffer):
    """The library's parser, which would read a frame of any length into memory; `skipped` counts what was dropped."""

    skipped = 0

    def recv_strict(self, bufsize: int) -> bytes:
        if bufsize <= MESSAGE_LIMIT:
            return super().recv_strict(bufsize)
        if bufsize > SKIP_LIMIT:
            raise WebSocketProtocolException(f"a frame of {bufsize} bytes")
        self.skipped += bufsize
        while bufsize:
            bufsize -= len(super().recv_strict(min(bufsize, FRAGMENT)))
        return b""


class FrameSocket(WebSocket):
    """The library's low-level WebSocket with our bound. Not locked: one thread reads, one writes."""

    def __init__(self) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=False)
        self.frame_buffer: _Frames = _Frames(self._recv, False)

    def shake_hands(self, wire: Wire, url: str, *, host: str, origin: str, agent: str) -> tuple[int, Mapping[str, str]]:
        """The opening handshake over `wire`: status and fields of an answer that is 101 or a redirect, not followed.

        Raises WebSocketBadStatusException for other statuses, and what the library's parser raises for what is no HTTP.
        """
        fields = [f"User-Agent: {agent}"] if agent else []
        self.connect(  # type: ignore[no-untyped-call]
            url,
            socket=wire,
            host=host,
            origin=origin,
            header=fields,
            redirect_limit=0,  # a redirect could lead from wss to ws
        )
        answer = self.handshake_response
        return (answer.status, answer.headers) if answer is not None else (0, {})


class Connection:
    """`receive` is for one thread, the `send_…` for one other, `abort` for any; `release` once both are done."""

    def __init__(self, frames: FrameSocket, wire: Wire) -> None:
        self._frames: Final = frames
        self._wire: Final = wire
        self._cause: Optional[LineError] = None
        self._parts: list[bytes] = []
        self._size = 0

    def receive(self, on_ping: Callable[[bytes], None]) -> str:
        """The next text message. Pings are handed to `on_ping`; pongs count by having been heard.

        A message over the limit is dropped and logged. Raises LineLost, LineSilent, TokenRefused, or what `abort` gave.
        """
        while True:
            try:
                frame = self._frames.frame_buffer.recv_frame()
            except WebSocketTimeoutException as error:
                raise self._ended(LineSilent("the Server has gone silent: no pong came back")) from error
            except (WebSocketConnectionClosedException, OSError) as error:
                raise self._ended(LineLost(f"the line was cut without a close ({error})")) from error
            except WebSocketException as error:
                raise self._ended(LineLost(f"the Server sent what is no WebSocket frame: {error}", 1002)) from error
            if frame.opcode == ABNF.OPCODE_CLOSE:
                raise self._ended(_closing(_payload(frame)))
            if frame.opcode == ABNF.OPCODE_PING:
                on_ping(_payload(frame))
            elif frame.opcode in _DATA:
                text = self._message(frame)
                if text is not None:
                    return text

    def send_text(self, data: bytes, between: Callable[[], None]) -> None:
        """Send one message, calling `between` between its fragments. Raises LineLost, LineSilent."""
        opcode, at = ABNF.OPCODE_TEXT, 0
        while True:
            part = data[at : at + FRAGMENT]
            at += FRAGMENT
            last = at >= len(data)
            self._send(ABNF.create_frame(part, opcode, int(last)))
            if last:
                return
            opcode = ABNF.OPCODE_CONT
            between()

    def send_ping(self) -> None:
        self._send(ABNF.create_frame(b"", ABNF.OPCODE_PING))

    def send_pong(self, payload: bytes) -> None:
        self._send(ABNF.create_frame(payload, ABNF.OPCODE_PONG))

    def send_close(self, code: int, within: float) -> None:
        """Send a close frame, with little patience: the line may be dead."""
        self._wire.patience = within
        self._send(ABNF.create_frame(struct.pack("!H", code), ABNF.OPCODE_CLOSE))

    def expect(self, patience: float) -> None:
        """From the next read and write on, give up after so many seconds without progress. For the reader."""
        self._wire.patience = patience

    def abort(self, cause: Optional[LineError] = None) -> None:
        """End the line under both threads; the reader then raises `cause`, the first one given."""
        self._cause = self._cause or cause
        self._wire.abort()

    def release(self) -> None:
        self._wire.release()

    def _ended(self, error: LineError) -> LineError:
        return self._cause or error

    def _send(self, frame: ABNF) -> None:
        try:
            self._frames.send_frame(frame)
        except WebSocketTimeoutException as error:
            raise LineSilent("the Server has stopped reading: nothing could be written") from error
        except (WebSocketException, OSError) as error:
            raise LineLost(f"the line was cut while writing ({error})") from error

    def _message(self, frame: ABNF) -> Optional[str]:
        """Add a data frame; the message once it is whole. The library has checked opcodes and reserved bits only."""
        if (frame.opcode == ABNF.OPCODE_CONT) != bool(self._parts):
            raise self._ended(LineLost("the Server mixed up fragments of messages", 1002))
        self._parts.append(_payload(frame) if self._size <= MESSAGE_LIMIT else b"")
        self._size += len(frame.data) + self._take_skipped()
        if not frame.fin:
            if len(self._parts) > MESSAGE_LIMIT // 64:
                raise self._ended(LineLost("the Server cut a message into too many fragments", 1009))
            return None
        parts, size = self._parts, self._size
        self._parts, self._size = [], 0
        if size > MESSAGE_LIMIT:
            log.error("edge line: a message of %d bytes was dropped: at most %d are taken", size, MESSAGE_LIMIT)
            return None
        try:
            return b"".join(parts).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._ended(LineLost("the Server sent a message that is not UTF-8", 1007)) from error

    def _take_skipped(self) -> int:
        skipped, self._frames.frame_buffer.skipped = self._frames.frame_buffer.skipped, 0
        return skipped


def _payload(frame: ABNF) -> bytes:
    return frame.data if isinstance(frame.data, bytes) else frame.data.encode("utf-8")  # its parser gives bytes


def _closing(payload: bytes) -> LineError:
    """The meaning of a close frame (RFC 6455 section 7.4; 4001 is the Server's, protocol 7.1)."""
    if len(payload) < 2:
        return LineLost("the Server closed the line without a code", None)
    code = int.from_bytes(payload[:2], "big")
    reason = payload[2:].decode("utf-8", "replace")
    reason = "".join(character if character.isprintable() else "?" for character in reason)
    if code == 4001:
        said = f"the Server refused the token (4001{f', {reason}' if reason else ''})"
        return TokenRefused(f"{said}: DOCKPAL_TOKEN must be the one that it shows for this instance")
    meaning = reason or _MEANING.get(code, "")
    return LineLost(f"the Server closed the line ({code}{f', {meaning}' if meaning else ''})", code)
