"""A viewer over server-sent events (WHATWG HTML 9.2): `data: {json}` and an empty line, comments when silent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from dockpal_agent.api.messages import Message
from dockpal_agent.transport.direct.answer import LAST_CHUNK, chunk
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.viewer import ViewerGone, as_text
from dockpal_agent.transport.direct.wire import Wire

__all__ = ["SSE_FIELDS", "EventViewer"]

SSE_FIELDS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
COMMENT: Final = b":\n\n"


class EventViewer:
    """Events as chunks, or bare where the client speaks HTTP/1.0. An end of what the client sends is its leaving."""

    def __init__(self, wire: Wire, limits: Limits, *, chunked: bool) -> None:
        self._wire = wire
        self._limits = limits
        self._chunked = chunked
        self._sent_at = time.monotonic()

    def send(self, message: Message) -> None:
        """One event; text of several lines becomes several `data` lines, bytes are read as UTF-8."""
        text = as_text(message)
        if isinstance(text, str):
            data = text.encode("utf-8", "replace")
        else:
            data = text.decode("utf-8", "replace").encode("utf-8")
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._write(b"".join(b"data: " + line + b"\n" for line in lines) + b"\n")

    def listen(self) -> bool:
        """Whether the viewer is still there; a comment tells a proxy in between that we are."""
        said = self._wire.read_now(4096)
        if said == b"":
            raise ViewerGone("closed its connection")
        if time.monotonic() - self._sent_at >= self._limits.comment:
            self._write(COMMENT)
        return False  # what a viewer sends here means nothing

    def close(self, code: int, reason: str) -> None:
        """End the answer; the codes of WebSocket have no place here."""
        del code, reason
        if self._chunked:
            self._wire.write(LAST_CHUNK, self._limits.send)

    def _write(self, data: bytes) -> None:
        self._wire.write(chunk(data) if self._chunked else data, self._limits.send)
        self._sent_at = time.monotonic()
