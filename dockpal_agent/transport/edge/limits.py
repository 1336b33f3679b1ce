"""The numbers of the line, in one place; tests shrink them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MESSAGE_LIMIT", "Limits"]

MESSAGE_LIMIT: Final = 16 << 20  # bytes of one message, either way


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes, counts. What bounds what is said at each."""

    dial: float = 15.0  # seconds for name, TCP, proxy, TLS and the opening handshake together
    welcome: float = 300.0  # seconds of silence until the first request: the Server may have many tokens to compare
    answer: float = 55.0  # seconds from a request to its 504; the Server gives up at 60
    sign_of_life: float = 20.0  # seconds of silence in a deploy stream until an empty event
    collect: float = 20.0  # seconds to read a log to its end
    close: float = 2.0  # seconds for a closing handshake
    threads: int = 32
    prompt: int = 8  # threads beside `threads`, for what is answered within seconds whatever Docker does
    changing: int = 16  # of `threads`, how many may be busy with changes, which can take minutes
    streaming: int = 8  # of `threads`, how many may wait for an event
    queue: int = 512  # requests that wait for a thread
    idle: float = 20.0  # seconds until a thread without work ends
    outbox_messages: int = 1024
    outbox_bytes: int = 2 * MESSAGE_LIMIT
    streams: int = 16  # deploys that are followed at once
    stream_idle: float = 120.0  # seconds until a deploy stream that nobody asked about is let go
    log_bytes: int = 1 << 20  # of a log, the last bytes are answered
    early: float = 5.0  # seconds; a close within them, without code or request, is the Server's old line
