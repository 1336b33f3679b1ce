"""What the daemon sends back: an answer read whole, or a stream read as it comes."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any, Callable, Final, Optional

from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.connection import Connection
from dockpal_agent.engine.deadline import Bound
from dockpal_agent.engine.errors import EngineBroken, EngineCancelled, EngineTimeout

__all__ = ["Answer", "Stream", "parse"]

LINE_LIMIT: Final = 4 << 20  # bytes of one line of a stream: an event, a stats sample, a progress message
DEPTH_LIMIT: Final = 128  # levels of JSON; an inspect has about 10, and json.loads recurses on a small stack
READ_SIZE: Final = 65536  # bytes asked for at once

_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Answer:
    """An answer that was read whole. `headers` are http.client's: looked up without regard to case."""

    __slots__ = ("content", "headers", "status")

    def __init__(self, status: int, headers: http.client.HTTPMessage, content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    def json(self) -> Any:
        """The content as JSON. Raises EngineBroken when it is not."""
        return parse(self.content)


def parse(data: bytes) -> Any:
    """JSON from the daemon. Raises EngineBroken when it is none, or is nested deeper than a small stack carries."""
    if _deeper_than(DEPTH_LIMIT, data):
        raise EngineBroken("the Docker daemon's answer is nested too deeply")
    try:
        return json.loads(data)
    except ValueError as error:
        raise EngineBroken(f"the Docker daemon's answer is not JSON: {_excerpt(data)}") from error


def _deeper_than(limit: int, data: bytes) -> bool:
    """Whether `data`, if it is JSON, may be nested deeper than `limit`.

    All but the brackets is dropped, then matching pairs, from the innermost out: each pass takes one level away. What
    is left stands in strings (a label with one bracket); only where there is much of it are the strings dropped first.
    """
    if _levels(data.translate(None, _ALL_BUT_BRACKETS), limit) <= limit:
        return False
    return _levels(_STRING.sub(b"", data).translate(None, _ALL_BUT_BRACKETS), limit) > limit


def _levels(brackets: bytes, limit: int) -> int:
    """An upper bound of the nesting; it stops counting past `limit`."""
    levels = 0
    while brackets and levels <= limit:
        rest = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(rest) == len(brackets):
            break
        brackets = rest
        levels += 2  # `[{}]` may lose both of its levels in one pass
    return levels + brackets.count(b"[") + brackets.count(b"{")


def _excerpt(data: bytes) -> str:
    """The beginning of what came, for a message."""
    return repr(data[:80].decode("utf-8", "replace"))


class Stream:
    """An answer that is read as it comes; one thread reads, any thread may cancel.

    It must be closed: it is a context manager. An end, a failure and a cancellation are three things: b"" or the end of
    the iteration, EngineBroken or EngineTimeout, EngineCancelled.
    """

    def __init__(
        self,
        connection: Connection,
        response: http.client.HTTPResponse,
        cancel: Cancel,
        release: Callable[[], None],
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._connection = connection
        self._response = response
        self._cancel = cancel
        self._release = release
        self._left: Optional[int] = response.length  # bytes still to come; None: chunked, or until the daemon closes
        self._ended = response.isclosed()  # an answer without a body
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read_some(self, most: int = READ_SIZE) -> bytes:
        """The next bytes as soon as there are any, at most `most`; b"" at the proper end.

        Raises EngineBroken when the daemon broke off, EngineTimeout after `idle` seconds of silence, EngineCancelled.
        """
        if self._cancel.cancelled:
            raise EngineCancelled("the stream was cancelled")
        if self._ended:
            return b""
        if self._closed:
            raise EngineBroken("the stream is closed")
        try:
            part = self._response.read1(most if self._left is None else min(most, self._left))
        except socket.timeout as error:
            raise self._failure(EngineTimeout("the Docker daemon fell silent in mid-stream")) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(EngineBroken(f"the Docker daemon broke the stream off: {error!r}")) from error
        self._count(len(part))
        return part

    def _failure(self, failure: Exception) -> Exception:
        """What to raise: a read that failed because it was cancelled is a cancellation."""
        return EngineCancelled("the stream was cancelled") if self._cancel.cancelled else failure

    def _count(self, size: int) -> None:
        """Note what came, and whether that is all. http.client's own count is right from 3.12 on only."""
        if self._left is not None:
            self._left -= size
            if not size and self._left:
                raise self._failure(EngineBroken(f"the Docker daemon broke the stream off: {self._left} bytes missing"))
            self._ended = self._left == 0
        elif not size:
            if self._cancel.cancelled:
                raise EngineCancelled("the stream was cancelled")
            self._ended = True

    def bound(self, bound: Bound) -> None:
        """What limits the reads from now on, in the place of `idle`: a Deadline for all of the rest together."""
        self._connection.limit(bound)

    def chunks(self) -> Iterator[bytes]:
        """What comes, as it comes, to the end."""
        while True:
            part = self.read_some()
            if not part:
                return
            yield part

    def lines(self) -> Iterator[bytes]:
        """Line by line, without the line ends. Raises as read_some, and EngineBroken for a line past all measure."""
        rest = bytearray()
        for part in self.chunks():
            rest += part
            if b"\n" not in part:
                if len(rest) > LINE_LIMIT:
                    raise EngineBroken("the Docker daemon sent a line that does not end")
                continue
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                yield line.rstrip(b"\r")
        if rest:
            yield bytes(rest)

    def json_lines(self) -> Iterator[dict[str, Any]]:
        """One JSON object a line, empty lines left out: events, stats, progress. Raises as lines()."""
        for line in self.lines():
            if line.strip():
                value = parse(line)
                if not isinstance(value, dict):
                    raise EngineBroken(f"the Docker daemon's stream is not made of JSON objects: {_excerpt(line)}")
                yield value

    def cancel(self) -> None:
        """End the reading, from any thread: a read that waits raises EngineCancelled at once."""
        self._cancel.cancel()

    def close(self) -> None:
        """Let go of the connection: kept for the next call if all was read, else closed. By the reader's thread."""
        if self._closed:
            return
        self._closed = True
        if self._ended and not self._response.isclosed():
            self._response.close()  # http.client before 3.12 does not notice a counted end by itself
        self._release()

    @property
    def complete(self) -> bool:
        """Whether the proper end was read."""
        return self._ended
