"""The WebSocket opening handshake, server side (RFC 6455 section 4.2). No extension and no subprotocol is taken up."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from dockpal_agent.transport.direct.answer import answer_head
from dockpal_agent.transport.direct.head import Head, HeadError

__all__ = ["check_opening", "opening_answer", "wants_websocket"]

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def wants_websocket(head: Head) -> bool:
    """Whether the client asks for a WebSocket; any other upgrade is ignored, as RFC 9110 section 7.8 allows."""
    return head.method == "GET" and "websocket" in head.lists("upgrade") and "upgrade" in head.lists("connection")


def check_opening(head: Head) -> None:
    """Raise HeadError for an opening handshake that cannot be answered: 400, or 426 with the version spoken here."""
    if not head.minor:
        raise HeadError(400, "a WebSocket needs HTTP/1.1")
    if head.length != 0:
        raise HeadError(400, "a WebSocket opening handshake has no body")
    if head.fields.get("sec-websocket-version") != "13":
        raise HeadError(426, "only version 13 of WebSocket is spoken here", headers={"Sec-WebSocket-Version": "13"})
    try:
        key = base64.b64decode(head.fields.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise HeadError(400, "the header field sec-websocket-key is malformed") from error
    if len(key) != 16:
        raise HeadError(400, "the header field sec-websocket-key is malformed")


def opening_answer(head: Head) -> bytes:
    """The answer 101 to a handshake that was checked."""
    digest = hashlib.sha1(head.fields["sec-websocket-key"].encode("ascii") + _MAGIC, usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode("ascii")
    return answer_head(101, {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept})
