"""The body of an answer that comes in parts: by length, in chunks, or (HTTP/1.0) until the connection closes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from dockpal_agent.transport.direct.answer import LAST_CHUNK, chunk
from dockpal_agent.transport.direct.wire import Wire

__all__ = ["BrokenOff", "send_parts"]


class BrokenOff(Exception):
    """The parts ended in a failure, or are not as many bytes as was said. The head is out: only a reset can tell."""


def send_parts(
    wire: Wire, head: bytes, first: bytes, rest: Iterator[bytes], *, length: Optional[int], chunked: bool, within: float
) -> None:
    """Write `head` with the first part, then part by part, each 64 KiB of which must be taken `within` seconds.

    Raises BrokenOff, caused by what the parts raised; OSError when the peer left or was too slow.
    """
    wire.write(head + _framed(first, chunked), within)
    sent = len(first)
    for part in _produced(rest):
        sent += len(part)
        if length is not None and sent > length:
            break
        wire.write(_framed(part, chunked), within)
    if length is not None and sent != length:
        raise BrokenOff(f"{sent} bytes came where {length} were announced")
    if chunked:
        wire.write(LAST_CHUNK, within)


def _produced(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, with a failure of their producer told apart from one of the peer."""
    while True:
        try:
            part = next(parts, None)
        except Exception as error:
            raise BrokenOff(str(error) or type(error).__name__) from error
        if part is None:
            return
        yield part


def _framed(part: bytes, chunked: bool) -> bytes:
    return chunk(part) if chunked and part else part
