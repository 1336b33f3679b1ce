"""A request's head, read strictly: RFC 9112 (HTTP/1.1) and RFC 9110, with no leniency that two parsers could differ in.

What a proxy in front of us might read otherwise (bare LF, folded fields, a space before the colon, two lengths) is
refused, and after a refusal the connection closes: nothing can be smuggled behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, Optional
from urllib.parse import urlsplit

from dockpal_agent.api.errors import ApiError
from dockpal_agent.transport.direct.limits import Limits

__all__ = ["Head", "HeadError", "parse_head", "read_head"]

# token, field-vchar and OWS as in RFC 9110 sections 5.5 and 5.6.2; obs-text is let through, control characters are not
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.%A-Za-z0-9_~-]+\])(?::[0-9]*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_METHOD_LIMIT: Final = 32

# Two of these can only be a mistake or an attack; other fields are joined as lists (RFC 9110 section 5.3).
_ONCE: Final = frozenset({
    "authorization", "content-length", "content-type", "expect", "host",
    "sec-websocket-key", "sec-websocket-version", "transfer-encoding",
})  # fmt: skip


class HeadError(ApiError):
    """The head cannot be served; its connection is not to be trusted any further."""

    def __init__(self, status: int, message: str, *, headers: Optional[dict[str, str]] = None) -> None:
        super().__init__(message, headers=headers)
        self.status = status


@dataclass(frozen=True)
class Head:
    """A request without its body. `target` is the path as it came; `length` is None when the body is chunked."""

    method: str
    target: str
    query: str
    minor: int  # of the HTTP/1.x that the client speaks
    fields: Mapping[str, str]
    length: Optional[int]
    keep_alive: bool
    expects_continue: bool

    def lists(self, name: str) -> frozenset[str]:
        """The members of a comma-separated field, lower-case (RFC 9110 section 5.6.1)."""
        members = (member.strip().lower() for member in self.fields.get(name, "").split(","))
        return frozenset(member for member in members if member)


def read_head(reader: BinaryIO, limits: Limits) -> Optional[list[bytes]]:
    """The lines of the next head without their CRLF, None where the connection ends before one begins.

    Raises HeadError (400, 414, 431) and OSError.
    """
    line = _read_line(reader, limits.request_line, HeadError(414, "the request line is too long"))
    if line == b"":
        # one empty line before a request is forgiven: RFC 9112 section 2.2
        line = _read_line(reader, limits.request_line, HeadError(414, "the request line is too long"))
    if line is None:
        return None
    lines = [line]
    left = limits.fields_size
    too_large = HeadError(431, "the header fields are too large")
    while True:
        line = _read_line(reader, left, too_large)
        if line is None:
            raise HeadError(400, "the request ends within its header")
        if not line:
            return lines
        left -= len(line) + 2
        lines.append(line)
        if len(lines) > limits.fields + 1:
            raise HeadError(431, f"too many header fields: at most {limits.fields} are accepted")


def _read_line(reader: BinaryIO, limit: int, too_long: HeadError) -> Optional[bytes]:
    line = reader.readline(max(limit, 2) + 1)
    if not line:
        return None
    if line.endswith(b"\r\n"):
        return line[:-2]
    if line.endswith(b"\n"):
        raise HeadError(400, "a line of the header ends without a carriage return")
    if len(line) > limit:
        raise too_long
    raise HeadError(400, "the request ends within its header")


def parse_head(lines: list[bytes]) -> Head:
    """Read a head's lines. Raises HeadError: 400, 417, 501, 505."""
    method, raw_target, minor = _parse_request_line(lines[0])
    fields = _parse_fields(lines[1:])
    target, query = _parse_target(method, raw_target)
    _check_host(fields, minor)
    expects_continue = _parse_expect(fields, minor)
    length = _parse_framing(fields, minor)
    connection = {option.strip().lower() for option in fields.get("connection", "").split(",")}
    keep_alive = "close" not in connection if minor else "keep-alive" in connection and "close" not in connection
    return Head(method, target, query, minor, fields, length, keep_alive, expects_continue)


def _parse_request_line(line: bytes) -> tuple[str, str, int]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        if line[:1] == b"\x16":
            raise HeadError(400, "this port speaks plain HTTP, and the client spoke TLS")
        raise HeadError(400, "the request line is malformed")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HeadError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if len(method) > _METHOD_LIMIT:
        raise HeadError(501, "the method is not known here")
    return method.decode("ascii"), target.decode("ascii"), min(int(minor), 1)


def _parse_fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise HeadError(400, "a header field is malformed")
        name, value = match.group(1).decode("ascii").lower(), match.group(2).strip(b" \t").decode("latin-1")
        if name not in fields:
            fields[name] = value
        elif name in _ONCE:
            raise HeadError(400, f"the header field {name} came more than once")
        else:
            fields[name] += ", " + value
    return fields


def _parse_target(method: str, target: str) -> tuple[str, str]:
    """Path and query of the four forms of RFC 9112 section 3.2; authority-form is a proxy's and is refused."""
    if method == "CONNECT":
        raise HeadError(501, "CONNECT is not served here")
    if "#" in target:
        raise HeadError(400, "the request target has a fragment")
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    if target == "*" and method == "OPTIONS":
        return target, ""
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise HeadError(400, "the request target is malformed") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise HeadError(400, "the request target is malformed")
    return parts.path or "/", parts.query


def _check_host(fields: Mapping[str, str], minor: int) -> None:
    host = fields.get("host")
    if host is None:
        if minor:
            raise HeadError(400, "the header field host is missing")
    elif _HOST.fullmatch(host) is None:
        raise HeadError(400, "the header field host is malformed")


def _parse_expect(fields: Mapping[str, str], minor: int) -> bool:
    expectation = fields.get("expect", "").lower()
    if not expectation or not minor:  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
        return False
    if expectation != "100-continue":
        raise HeadError(417, "only 100-continue can be expected")
    return True


def _parse_framing(fields: Mapping[str, str], minor: int) -> Optional[int]:
    """The body's length, None for chunks: RFC 9112 section 6, and none of its leniencies."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is None:
        if length is None:
            return 0
        if _LENGTH.fullmatch(length) is None:
            raise HeadError(400, "the header field content-length is malformed")
        return int(length)
    if length is not None:
        raise HeadError(400, "content-length and transfer-encoding came together")
    if not minor:
        raise HeadError(400, "transfer-encoding is not known to HTTP/1.0")
    codings = [name.strip() for name in coding.lower().split(",")]
    if codings == ["chunked"]:
        return None
    if codings.count("chunked") > 1 or "" in codings or (codings[-1] != "chunked" and "chunked" in codings):
        raise HeadError(400, "the header field transfer-encoding is malformed")
    raise HeadError(501, "no transfer coding but chunked is known here")
