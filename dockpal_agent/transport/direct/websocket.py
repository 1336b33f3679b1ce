"""A viewer over WebSocket (RFC 6455): wsproto reads and writes the frames, this keeps time and bounds.

What viewers say is dropped (the Server sends its token once more, protocol 3), unless the stream has a `hear` method.
"""

from __future__ import annotations

import time
from typing import Final, Optional, Protocol, Union, runtime_checkable

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from dockpal_agent.api.messages import Message, MessageStream
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.viewer import ViewerGone, as_text
from dockpal_agent.transport.direct.wire import Wire

__all__ = ["Hearing", "WebSocketViewer"]

READ: Final = 16 << 10  # one TLS record
READS: Final = 8  # before it is our turn to send again
MESSAGE_TOO_BIG: Final = 1009
CLOSE_TAIL: Final = READ * 16  # bytes read at most while we wait for the viewer's close frame


@runtime_checkable
class Hearing(Protocol):
    """A message stream that wants to know what its viewer says."""

    def hear(self, message: Union[str, bytes]) -> None:
        """One whole message, of at most `Limits.message` bytes. Must not wait."""


class WebSocketViewer:
    """Speaks to one client after the opening handshake. `early` are bytes that came behind the request's head."""

    def __init__(self, wire: Wire, limits: Limits, stream: MessageStream, early: bytes) -> None:
        self._wire = wire
        self._limits = limits
        self._hearing = stream if isinstance(stream, Hearing) else None
        self._frames = Connection(ConnectionType.SERVER, trailing_data=early)
        self._early = bool(early)
        self._parts: list[Union[str, bytes]] = []
        self._size = 0  # bytes of the message that is coming in
        self._heard_at = time.monotonic()
        self._pinged = False
        self._verdict: Optional[CloseConnection] = None

    def send(self, message: Message) -> None:
        """JSON and text as a text message, bytes as a binary one."""
        content = as_text(message)
        if isinstance(content, bytes):
            self._write(BytesMessage(data=content))
        else:
            self._write(TextMessage(data=content.encode("utf-8", "replace").decode("utf-8")))

    def listen(self) -> bool:
        """Take what came: pings are answered, a close frame too; a long silence is asked about with a ping.

        Broken frames end the connection at the next call only: what was said before them may be answered first.
        """
        if self._verdict is not None:
            self._write(self._verdict)
            raise ViewerGone(f"sent what is not WebSocket: {self._verdict.reason}")
        heard = self._early
        if self._early:
            self._early = False
            self._verdict = self._take_events()
        for _ in range(READS):
            data = self._wire.read_now(READ)
            if data is None:
                break
            if not data:
                raise ViewerGone("left without a close frame")
            heard = True
            self._frames.receive_data(data)
            self._verdict = self._take_events()
            if self._verdict is not None:
                break
        self._mind_silence(heard)
        return heard

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait a moment for the viewer's (RFC 6455 section 7.1.1: we close the connection)."""
        self._write(CloseConnection(code=code, reason=reason))
        self._wire.within(self._limits.closing)
        left = CLOSE_TAIL
        while self._frames.state is not ConnectionState.CLOSED and left > 0:
            data = self._wire.read_some(READ)
            if not data:
                return
            left -= len(data)
            self._frames.receive_data(data)
            for event in self._frames.events():
                if isinstance(event, CloseConnection):
                    return

    def _mind_silence(self, heard: bool) -> None:
        now = time.monotonic()
        if heard:
            self._heard_at = now
            self._pinged = False
        elif not self._pinged and now - self._heard_at >= self._limits.ping:
            self._write(Ping())
            self._pinged = True
        elif self._pinged and now - self._heard_at >= self._limits.ping + self._limits.pong:
            raise ViewerGone("did not answer a ping")

    def _take_events(self) -> Optional[CloseConnection]:
        """Answer what the viewer sent; wsproto's verdict where a frame was none."""
        for event in self._frames.events():
            if isinstance(event, Ping):
                self._write(event.response())
            elif isinstance(event, (TextMessage, BytesMessage)):
                self._take(event)
            elif isinstance(event, CloseConnection):
                if self._frames.state is ConnectionState.OPEN:  # not the viewer's frame, but wsproto's verdict on one
                    return event
                self._write(event.response())
                raise ViewerGone(f"closed with code {int(event.code)}")
        return None

    def _take(self, event: Union[TextMessage, BytesMessage]) -> None:
        data = bytes(event.data) if isinstance(event, BytesMessage) else event.data
        self._size += len(data) if isinstance(data, bytes) else len(data.encode("utf-8"))
        if self._size > self._limits.message:
            self._write(CloseConnection(code=MESSAGE_TOO_BIG, reason=f"at most {self._limits.message} bytes"))
            raise ViewerGone("sent a message that is too big")
        if self._hearing is not None:
            self._parts.append(data)
        if event.message_finished:
            self._deliver(data)

    def _deliver(self, last: Union[str, bytes]) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        if self._hearing is None:
            return
        if isinstance(last, bytes):
            self._hearing.hear(b"".join(part for part in parts if isinstance(part, bytes)))
        else:
            self._hearing.hear("".join(part for part in parts if isinstance(part, str)))

    def _write(self, event: Event) -> None:
        self._wire.write(bytes(self._frames.send(event)), self._limits.send)
