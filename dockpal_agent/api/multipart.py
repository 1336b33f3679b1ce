"""multipart/form-data, read as a stream (RFC 7578, RFC 2046 section 5.1): one part after the other, none kept.

The standard library's `email` wants the whole body in memory, and `cgi` is gone; the grammar is small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Optional
from urllib.parse import unquote

from dockpal_agent.api.errors import BadRequest, UnsupportedMediaType
from dockpal_agent.api.messages import Body

__all__ = ["Part", "parts"]

CHUNK: Final = 64 << 10  # bytes read at once
HEADER_LIMIT: Final = 16 << 10  # bytes of one part's header fields
PART_LIMIT: Final = 64  # parts of one body
FIELD_LIMIT: Final = 16 << 10  # bytes of a field that is read as text

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER: Final = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))', re.DOTALL)


class _Input:
    """The body with what was read too much of it."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.held = bytearray(b"\r\n")  # as if a line ended here: then the first delimiter is like all others

    def more(self) -> None:
        """Hold more of the body. Raises BadRequest at its end: a multipart body ends with its last delimiter."""
        part = self._body.read_some(CHUNK)
        if not part:
            raise BadRequest("the multipart body ends too early")
        self.held += part

    def take(self, size: int) -> bytes:
        """The first `size` bytes of what is held."""
        part = bytes(self.held[:size])
        del self.held[:size]
        return part


@dataclass(frozen=True)
class Part:
    """One field or file. `filename` is None for a field; `chunks` must be read before the next part is asked for."""

    name: str
    filename: Optional[str]
    chunks: Iterator[bytes]

    def text(self) -> str:
        """A field's value. Raises BadRequest when it is long or no UTF-8."""
        data = bytearray()
        for part in self.chunks:
            data += part
            if len(data) > FIELD_LIMIT:
                raise BadRequest(f"the field {self.name} is too long")
        return _decode(bytes(data), f"the field {self.name}")


def parts(body: Body) -> Iterator[Part]:
    """The parts, in the order in which they come. What of a part is not read is skipped.

    Raises UnsupportedMediaType for another kind of body, BadRequest for one that breaks the grammar.
    """
    delimiter = b"\r\n--" + _boundary(body)
    source = _Input(body)
    for _ in _until(source, delimiter):
        pass  # the preamble means nothing
    for _ in range(PART_LIMIT):
        if _is_last(source):
            return
        name, filename = _disposition(_header(source))
        chunks = _until(source, delimiter)
        yield Part(name, filename, chunks)
        for _ in chunks:
            pass
    raise BadRequest(f"the multipart body has more than {PART_LIMIT} parts")


def _boundary(body: Body) -> bytes:
    if body.media_type != "multipart/form-data":
        raise UnsupportedMediaType("the body must be multipart/form-data")
    match = _BOUNDARY.search(body.content_type)
    if match is None:
        raise BadRequest("the multipart body names no boundary")
    return (match.group(1) or match.group(2)).encode("latin-1", "replace")


def _until(source: _Input, delimiter: bytes) -> Iterator[bytes]:
    """The bytes up to the delimiter, which is taken away; what might be its beginning is held back."""
    while True:
        found = source.held.find(delimiter)
        if found >= 0:
            last = source.take(found)
            source.take(len(delimiter))
            if last:
                yield last
            return
        safe = len(source.held) - len(delimiter) + 1
        if safe > 0:
            yield source.take(safe)
        source.more()


def _is_last(source: _Input) -> bool:
    """Whether the delimiter just taken is the last one (`--` follows). Else the rest of its line goes: blanks, CRLF."""
    while len(source.held) < 2:
        source.more()
    if source.held.startswith(b"--"):
        return True
    end = _find(source, b"\r\n")
    if source.take(end + 2).strip():
        raise BadRequest("the multipart body has a malformed delimiter")
    return False


def _header(source: _Input) -> str:
    """The part's header fields, unfolded."""
    if source.held[:2] == b"\r\n":  # a part without any field
        source.take(2)
        return ""
    end = _find(source, b"\r\n\r\n")
    return re.sub(r"\r\n[ \t]+", " ", _decode(source.take(end + 4), "a part's header"))


def _find(source: _Input, what: bytes) -> int:
    while True:
        found = source.held.find(what, 0, HEADER_LIMIT)
        if found >= 0:
            return found
        if len(source.held) >= HEADER_LIMIT:
            raise BadRequest("a part's header is too long")
        source.more()


def _disposition(header: str) -> tuple[str, Optional[str]]:
    """(name, filename or None) of the Content-Disposition field."""
    value = ""
    for line in header.split("\r\n"):
        field, _, rest = line.partition(":")
        if field.strip().lower() == "content-disposition":
            value = rest.strip()
    if not value.lower().startswith("form-data"):
        raise BadRequest("a part of the multipart body has no Content-Disposition: form-data")
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        quoted, plain = match.group(2), match.group(3)
        found.setdefault(match.group(1).lower(), _unquote(quoted) if quoted is not None else plain)
    if "name" not in found:
        raise BadRequest("a part of the multipart body has no name")
    extended = found.get("filename*")
    return found["name"], _extended(extended) if extended is not None else found.get("filename")


def _unquote(text: str) -> str:
    r"""A quoted parameter: `\"` and `\\` as RFC 9110 says, `%22` as browsers do; other backslashes stay."""
    return re.sub(r'\\(["\\])', r"\1", text).replace("%22", '"')


def _extended(text: str) -> str:
    """`UTF-8''name` (RFC 8187), which RFC 7578 forbids and some clients send."""
    charset, _, rest = text.partition("'")
    try:
        return unquote(rest.partition("'")[2], encoding=charset or "utf-8", errors="strict")
    except (LookupError, UnicodeDecodeError) as error:
        raise BadRequest("the file's name cannot be read") from error


def _decode(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{what} is not UTF-8") from error
