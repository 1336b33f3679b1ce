"""A request's body as it comes off the wire: by length or in chunks (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re
import time
from typing import Callable, Final, Optional

from dockpal_agent.api.errors import ApiError, BadRequest
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.wire import Wire

__all__ = ["BodyTimeout", "BrokenBody", "RequestBody"]

CHUNK_LINE: Final = 256  # bytes of a chunk's size with its extensions, which are read and forgotten
EXTENSIONS: Final = 16 << 10  # bytes of all chunk extensions of one body
TRAILERS: Final = 8 << 10  # bytes of trailer fields, which are read and forgotten

# chunk-size [ chunk-ext ]: RFC 9112 section 7.1; 15 digits are less than 2^60
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)\r\n")
_TRAILER_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class BrokenBody(BadRequest):
    """The body ends too early, or its chunks are malformed."""


class BodyTimeout(ApiError):
    """The body comes too slowly."""

    status = 408


class RequestBody:
    """Reads one body, at the pace of who asks. `length` is None where it comes in chunks.

    `invite` sends `100 Continue` before the first byte is asked for, where the client waits for it: a body that is
    never read is never invited. `ended` says that all of it was read; else `drain` decides about the connection.
    """

    def __init__(
        self, wire: Wire, length: Optional[int], limits: Limits, invite: Optional[Callable[[], None]] = None
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._chunked = length is None
        self._left = length or 0  # bytes of the body, or of the current chunk
        self._invite = invite
        self._first_chunk = True
        self._extensions = 0
        self._received = 0
        self._started: Optional[float] = None
        self._broken = False
        self.ended = length == 0

    def read_some(self, most: int) -> bytes:
        """At most `most` bytes, b"" at the end. Raises BrokenBody, BodyTimeout; the connection is lost then."""
        if self.ended or most <= 0:
            return b""
        if self._broken:
            raise BrokenBody("the request's body is broken")
        self._broken = True  # unless what follows succeeds
        try:
            self._begin()
            part = self._read(most, self._patience)
        except TimeoutError as error:
            raise BodyTimeout("the request's body came too slowly") from error
        except OSError as error:
            raise BrokenBody("the request's body broke off") from error
        self._broken = False
        return part

    @property
    def drainable(self) -> bool:
        """Whether what nobody read is known, little, and on its way: worth reading to keep the connection."""
        known = not self._chunked and not self._broken and self._invite is None
        return self.ended or (known and self._left <= self._limits.drain_bytes)

    def drain(self) -> bool:
        """Throw away what nobody read, within bounds. Whether the connection can serve another request."""
        deadline = time.monotonic() + self._limits.drain
        try:
            while self.drainable and not self.ended:
                self._read(16 << 10, lambda: deadline - time.monotonic())
        except (ApiError, OSError):
            return False
        return self.ended

    def _begin(self) -> None:
        if self._started is None:
            self._started = time.monotonic()
        if self._invite is not None:
            invite, self._invite = self._invite, None
            invite()

    def _patience(self) -> float:
        """Seconds for the next bytes: none where the body as a whole has come too slowly."""
        taken = time.monotonic() - (self._started or 0.0)
        due = self._limits.body_rate * (taken - self._limits.body_grace)
        return self._limits.stall if self._received >= due else 0.0

    def _read(self, most: int, patience: Callable[[], float]) -> bytes:
        self._wire.within(patience())
        if self._chunked and not self._left and not self._next_chunk():
            self.ended = True
            return b""
        part = self._wire.read_some(min(most, self._left))
        if not part:
            raise BrokenBody("the request ends within its body")
        self._received += len(part)
        self._left -= len(part)
        self.ended = not self._left and not self._chunked
        return part

    def _next_chunk(self) -> bool:
        """Step to the next chunk; False, and past the trailer section, where there is none."""
        if self._first_chunk:
            self._first_chunk = False
        elif self._wire.reader.read(2) != b"\r\n":
            raise BrokenBody("a chunk of the request's body is malformed")
        match = _CHUNK_LINE.fullmatch(self._wire.reader.readline(CHUNK_LINE))
        if match is None:
            raise BrokenBody("a chunk of the request's body is malformed")
        self._left = int(match.group(1), 16)
        self._extensions += len(match.group(2))
        if self._extensions > EXTENSIONS:
            raise BrokenBody("the request's chunk extensions are too large")
        if not self._left:
            self._skip_trailers()
        return self._left > 0

    def _skip_trailers(self) -> None:
        left = TRAILERS
        while (line := self._wire.reader.readline(left + 1)) != b"\r\n":
            left -= len(line)
            if left < 0 or _TRAILER_LINE.fullmatch(line) is None:
                raise BrokenBody("the request's trailer fields are malformed or too large")
