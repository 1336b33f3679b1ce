"""Requests and responses as values: what a transport hands to the api and what it gets back.

A transport turns bytes into a `Request` and a `Response` back into bytes; a handler never knows which transport asked.
Direct mode renders `Messages` as WebSocket or SSE, edge mode in the envelope of its line; the producer is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Final, Optional, Protocol, Union
from urllib.parse import parse_qsl

from dockpal_agent.api.errors import BadRequest, BodyTooLarge
from dockpal_agent.durations import parse_seconds

__all__ = [
    "Body",
    "ByteStream",
    "End",
    "Json",
    "Message",
    "MessageStream",
    "Messages",
    "Query",
    "Request",
    "Response",
    "parse_json",
]

JSON_LIMIT: Final = 1 << 20  # bytes of a JSON body, where a route does not say otherwise
JSON_DEPTH: Final = 64  # levels; json.loads recurses in C, and our threads have small stacks

_TRUE: Final = frozenset({"1", "t", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "no", "off", ""})


class Query(Mapping[str, str]):
    """The query parameters of one request; the first value counts where a name is repeated."""

    __slots__ = ("_values",)

    def __init__(self, values: Optional[Mapping[str, str]] = None) -> None:
        self._values = dict(values or {})

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read `a=b&c=d` (RFC 3986 query in form encoding). Raises BadRequest: not UTF-8, too many fields."""
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=64)
        except ValueError as error:
            raise BadRequest(f"the query string cannot be read: {error}") from error
        values: dict[str, str] = {}
        for name, value in pairs:
            values.setdefault(name, value)
        return cls(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean parameter. Raises BadRequest for a word that is neither true nor false."""
        text = self._values.get(name)
        if text is None:
            return default
        word = text.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise BadRequest(f"{name} must be true or false")

    def seconds(self, name: str, *, most: float = 3600.0) -> Optional[float]:
        """A time in seconds (`10`, `1.5`, `90s`, `1m30s`), None when absent. Raises BadRequest."""
        text = self._values.get(name)
        if text is None or text == "":
            return None
        seconds = parse_seconds(text)
        if seconds is None or not 0 <= seconds <= most:
            raise BadRequest(f"{name} must be a time between 0 and {most:g} seconds, like 10 or 90s")
        return seconds

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds. Raises BadRequest."""
        text = self._values.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
            raise BadRequest(f"{name} must be a whole number from {least} to {most}")
        return int(text)


class Body:
    """A request's body, read once, at the pace of the handler.

    `length` is bytes, or None where the sender did not say (chunked). `read_some(n)` gives at most n bytes, b"" at the
    end; it raises what the transport raises when the sender breaks off.
    """

    __slots__ = ("_read_some", "content_type", "length")

    def __init__(self, read_some: Callable[[int], bytes], length: Optional[int] = None, content_type: str = "") -> None:
        self._read_some = read_some
        self.length = length
        self.content_type = content_type

    @classmethod
    def of(cls, data: bytes, content_type: str = "application/json") -> Body:
        """A body that is in memory already."""
        rest = memoryview(data)

        def read_some(most: int) -> bytes:
            nonlocal rest
            part, rest = rest[:most], rest[most:]
            return bytes(part)

        return cls(read_some, len(data), content_type)

    @property
    def media_type(self) -> str:
        """The media type without its parameters, lower-case (RFC 9110 section 8.3)."""
        return self.content_type.partition(";")[0].strip().lower()

    def read_some(self, most: int) -> bytes:
        """The next bytes, at most `most`; b"" at the end."""
        return self._read_some(most)

    def read(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLarge past `limit` bytes, before reading what is announced as longer."""
        if self.length is not None and self.length > limit:
            raise BodyTooLarge(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            part = self._read_some(min(65536, limit + 1 - size))
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > limit:
                raise BodyTooLarge(limit)


@dataclass(frozen=True)
class Request:
    """One call. `target` is the path as it came, percent-encoded, without the query; `path` holds the route's
    parameters, decoded and checked; header names are lower-case; `peer` is the caller's address, "" over the line.
    """

    method: str
    target: str
    query: Query = field(default_factory=Query)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=lambda: Body.of(b""))
    peer: str = ""
    upgrade: bool = False  # a WebSocket opening handshake, or the line's way to ask for a stream
    path: Mapping[str, str] = field(default_factory=dict)

    def json(self, limit: int = JSON_LIMIT) -> dict[str, Any]:
        """The body as a JSON object; {} for an empty body, which clients send with a JSON content type.

        Raises BadRequest with what is wrong, BodyTooLarge.
        """
        data = self.body.read(limit)
        if not data.strip():
            return {}
        value = parse_json(data)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BadRequest("the body must be a JSON object")
        return value


def parse_json(data: bytes) -> Any:
    """Decode JSON from outside (RFC 8259), nesting capped before the parser recurses. Raises BadRequest."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start} is wrong") from error
    if _depth(text) > JSON_DEPTH:
        raise BadRequest(f"the JSON is nested deeper than {JSON_DEPTH} levels")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(text: str) -> int:
    """The deepest nesting, brackets in strings included: an upper bound that one pass without a parser can give."""
    if text.count("[") + text.count("{") <= JSON_DEPTH:
        return 0
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > JSON_DEPTH:
                return deepest
        elif character in "]}":
            depth -= 1
    return deepest


# A message is a JSON object (rendered as JSON text), text, or bytes (a binary WebSocket message).
Message = Union[Mapping[str, Any], str, bytes]


class End(Exception):
    """A message stream's proper end: nothing more will come. `code` and `reason` go into a WebSocket close frame."""

    def __init__(self, reason: str = "", code: int = 1000) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class MessageStream(Protocol):
    """A producer of messages: one log, one stats feed, the events of one deploy.

    One thread calls `next`; any thread may call `close`, once or more, and a waiting `next` then raises End at once.
    """

    def next(self, timeout: float) -> Optional[Message]:
        """The next message, or None when none came within `timeout` seconds. Raises End at the end."""

    def close(self) -> None:
        """Release what the stream holds (the Engine's connection, a place among viewers)."""


@dataclass(frozen=True)
class Json:
    """A JSON answer. `then`, where given, is run once the answer is on its way (restarting the agent itself)."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Optional[Callable[[], None]] = None

    def encode(self) -> bytes:
        """Compact UTF-8; a lone surrogate from a file name cannot break the line."""
        return json.dumps(self.value, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True)
class ByteStream:
    """Bytes at the pace of the reader. `length` bytes, or None where unknown; `close` is always called in the end."""

    chunks: Iterator[bytes]
    content_type: str = "application/octet-stream"
    length: Optional[int] = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Messages:
    """A stream of messages: WebSocket where the request asked for an upgrade, else SSE (`data: {json}`).

    `open` is called once, before the upgrade is answered, so that what it raises is still an HTTP status.
    """

    open: Callable[[], MessageStream]


Response = Union[Json, ByteStream, Messages]
