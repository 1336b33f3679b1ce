"""A container's log from the Engine's bytes to the frames of protocol 3. Pure: bytes in, bytes out, no waiting.

    Engine ─▶ Frames (or Lines, for a TTY) ─▶ Record(channel, timestamp, payload) ─▶ Text ─▶ frames (or pieces of text)

The Server pipes all messages through Docker's demultiplexer and makes each frame one text message to the browser, where
invalid UTF-8 kills the connection. So each frame that leaves here is valid UTF-8 by itself, a whole line if it can be,
and no message is longer than what the Server reads.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from dockpal_agent.engine import EngineBroken
from dockpal_agent.engine.frames import HEADER, STDERR, STDOUT

__all__ = ["MESSAGE_LIMIT", "Frames", "Lines", "Record", "Splitter", "Text", "frames", "pieces"]

MESSAGE_LIMIT: Final = 32_000  # bytes; a message above 32,768 makes the Server close the connection (1009)
PAYLOAD_LIMIT: Final = 16_384  # bytes of a frame's payload; the daemon's own pieces of a long line are as long
FRAME_LIMIT: Final = 1 << 20  # bytes of a frame of the daemon, which are 16 KiB and a timestamp
SYSTEM_ERROR: Final = 3

# As the daemon writes it before a line with timestamps=1; Podman leaves trailing zeros out and writes a zone.
_STAMP: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) ")
STAMP_LENGTH: Final = 36  # the longest, with the space


class Record(NamedTuple):
    """What the log driver stored as one: a line with its end, or a piece of 16 KiB of a longer one.

    `stamp` is the daemon's timestamp with the space after it, b"" where none was asked for; `begins` tells a line's
    beginning from the further pieces of a long one.
    """

    channel: int
    stamp: bytes
    payload: bytes
    begins: bool


class Splitter(Protocol):
    """Cuts the Engine's bytes into records."""

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that are complete now. Raises EngineBroken for what is not a log."""

    def end(self) -> Iterator[Record]:
        """What is left when the stream has ended."""


class Frames:
    """The log of a container without a TTY: Docker's frames of 8 bytes header and payload."""

    def __init__(self, stamped: bool) -> None:
        self._stamped: Final = stamped
        self._rest = b""
        self._within = {STDOUT: False, STDERR: False}  # whether the channel's line goes on in its next frame

    def feed(self, data: bytes) -> Iterator[Record]:
        """See Splitter. The daemon's report of a failure of its own comes as a line of stderr."""
        if self._rest:
            data = self._rest + data
        position, size = 0, len(data)
        while size - position >= HEADER.size:
            channel, length = HEADER.unpack_from(data, position)
            if channel > SYSTEM_ERROR or length > FRAME_LIMIT:
                raise EngineBroken("the Docker daemon's log is not made of frames")
            end = position + HEADER.size + length
            if end > size:
                break
            if length:
                yield self._record(channel, data[position + HEADER.size : end])
            position = end
        self._rest = data[position:]

    def end(self) -> Iterator[Record]:
        """See Splitter. Nothing is left but what was cut off in mid-frame."""
        if self._rest:
            raise EngineBroken("the Docker daemon broke the log off within a frame")
        return iter(())

    def _record(self, channel: int, payload: bytes) -> Record:
        if channel not in self._within:
            return Record(STDERR, b"", payload if payload.endswith(b"\n") else payload + b"\n", True)
        begins = not self._within[channel]
        self._within[channel] = not payload.endswith(b"\n")
        if self._stamped:
            stamp = _STAMP.match(payload)
            if stamp is not None:
                return Record(channel, stamp.group(), payload[stamp.end() :], begins)
        return Record(channel, b"", payload, begins)


class Lines:
    """The log of a container with a TTY: what it wrote, raw; wrapped as stdout.

    With timestamps each stored piece of a long line begins with the line's own timestamp again; nothing else marks the
    border, so that exact text is taken out wherever it stands in the line.
    """

    def __init__(self, stamped: bool) -> None:
        self._stamped: Final = stamped
        self._rest = b""
        self._stamp = b""  # of the line that `_rest` belongs to
        self._within = False  # whether a piece of that line has been passed on

    def feed(self, data: bytes) -> Iterator[Record]:
        """See Splitter."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield self._record(line + b"\n")
            self._within, self._stamp = False, b""
        self._rest = b""
        if len(rest) <= PAYLOAD_LIMIT + STAMP_LENGTH:
            self._rest = rest
            return
        # A stamp may be cut by the end of what has come: that much is kept back.
        record = self._record(rest[:-STAMP_LENGTH])
        self._within, self._rest = True, rest[-STAMP_LENGTH:]
        yield record

    def end(self) -> Iterator[Record]:
        """See Splitter: a last line without an end."""
        if self._rest:
            yield self._record(self._rest)
            self._rest, self._within, self._stamp = b"", False, b""

    def _record(self, data: bytes) -> Record:
        begins = not self._within
        if self._stamped and begins:
            match = _STAMP.match(data)
            self._stamp = match.group() if match else b""
        if self._stamp:
            data = data.replace(self._stamp, b"")
        return Record(STDOUT, self._stamp, data, begins)


class Text:
    """Makes records valid UTF-8: a character that is cut between two of them waits for its rest, junk is replaced."""

    def __init__(self) -> None:
        self._rest = {STDOUT: b"", STDERR: b""}

    def clean(self, channel: int, payload: bytes) -> bytes:
        """Valid UTF-8 of what has come; up to three bytes of an unfinished character stay behind."""
        if self._rest[channel]:
            payload = self._rest[channel] + payload
            self._rest[channel] = b""
        if payload.isascii():
            return payload
        text, used = codecs.utf_8_decode(payload, "replace", False)
        self._rest[channel] = payload[used:]
        return text.encode("utf-8")

    def end(self) -> Iterator[tuple[int, bytes]]:
        """(channel, text) of characters that were never finished."""
        for channel, rest in self._rest.items():
            if rest:
                yield channel, rest.decode("utf-8", "replace").encode("utf-8")
        self._rest = {STDOUT: b"", STDERR: b""}


def frames(channel: int, text: bytes) -> Iterator[bytes]:
    """Docker's frames of a text that is valid UTF-8."""
    for piece in pieces(text):
        yield HEADER.pack(channel, len(piece)) + piece


def pieces(text: bytes) -> Iterator[bytes]:
    """`text`, valid UTF-8, in pieces of at most PAYLOAD_LIMIT bytes, each valid by itself."""
    while len(text) > PAYLOAD_LIMIT:
        cut = PAYLOAD_LIMIT
        while text[cut] & 0xC0 == 0x80:  # a continuation byte: the character begins before it
            cut -= 1
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text
