"""What a connection may take: one value, so that tests and the operations page see all of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one server, times in seconds, sizes in bytes. Past one, there is an answer or a closed connection."""

    handshake: float = 10.0  # a TLS handshake, from accept to its end
    head: float = 10.0  # a request's head, from its first byte (the first one: from the handshake) to its blank line
    idle: float = 5.0  # a kept connection without a request: the Server never closes its own (protocol 1.1)
    stall: float = 20.0  # without one more byte of a body
    body_grace: float = 30.0  # after this a body must have come at `body_rate` on the whole
    body_rate: int = 1024  # bytes a second
    send: float = 20.0  # to take 64 KiB of an answer, or one message of a stream, off our hands
    drain_bytes: int = 256 << 10  # of a body that nobody read, to keep its connection; past it the connection closes
    drain: float = 2.0  # seconds for the same, and for a closing connection's last bytes
    request_line: int = 16 << 10
    fields_size: int = 32 << 10  # all header fields together
    fields: int = 100
    message: int = 64 << 10  # of one WebSocket message that a viewer sends
    ping: float = 20.0  # a viewer that was not heard for so long is pinged
    pong: float = 20.0  # and is gone when it says nothing for so long after that
    comment: float = 15.0  # between comments on a silent event stream
    closing: float = 2.0  # for the viewer's answer to our close frame
    poll: float = 0.5  # longest wait for the next message before looking whether the viewer is still there
    refusals: int = 8  # connections past the cap that are told so at once; more are closed without a word
    refusal: float = 2.0  # seconds for telling
