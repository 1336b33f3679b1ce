"""The JSON body of a file write, read as a stream: `content` may be as long as an upload and is never in memory whole.

{"container": "web", "path": "/etc/app.conf", "content": "<any length>", "encoding": "utf-8"}

The body is cut in two as it comes: the text of `content` goes to a spool, all around it, with "" in the place of the
text, is an ordinary small JSON object.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.messages import Body, parse_json
from dockpal_agent.files.errors import TooLarge
from dockpal_agent.files.spool import Spool

__all__ = ["decode_base64", "read_fields"]

CHUNK: Final = 64 << 10  # bytes read at once
AROUND_LIMIT: Final = 64 << 10  # characters of everything but the content

# RFC 8259 section 7: what a string is made of. _CHARACTERS matches something of everything, so its nested repetition
# never goes back; _STRING may fail, and must not have one.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CHARACTERS: Final = re.compile(r'(?:[^"\\\x00-\x1f]+|\\u[0-9a-fA-F]{4}|\\["\\/bfnrt])*')
_HIGH_SURROGATE: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_PLAIN: Final = re.compile(r'[^"{}\[\]:]+')


class _Text:
    """The body as text, with what is not yet used of it."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.held = ""

    def more(self) -> bool:
        """Hold more; False at the end. Raises BadRequest for what is not UTF-8."""
        part = self._body.read_some(CHUNK)
        try:
            self.held += self._decoder.decode(part, not part)
        except UnicodeDecodeError as error:
            raise BadRequest("the body is not UTF-8") from error
        return bool(part)

    def take(self, count: int) -> str:
        """The first `count` characters of what is held."""
        taken, self.held = self.held[:count], self.held[count:]
        return taken


def read_fields(body: Body, spool: Spool, limit: int) -> dict[str, Any]:
    """The body's object; the text of its `content` is in the spool as UTF-8, and "" in the object.

    Raises BadRequest for what is no JSON object or has two contents, TooLarge past `limit` bytes of content.
    """
    source = _Text(body)
    around: list[str] = []
    size = depth = contents = 0
    key = ""
    while source.held or source.more():
        if not source.held:
            continue  # a character was cut in two
        piece, is_string = _next_piece(source)
        around.append(piece)
        size += len(piece)
        if size > AROUND_LIMIT:
            raise BadRequest("the fields beside content are too long")
        if is_string:
            key = piece
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(piece, 0)
        if piece == ":" and depth == 1 and key == '"content"' and _starts_string(source):
            contents += 1
            around.append('""')
            for text in _string(source):
                _keep(text, spool, limit)
        if contents > 1:
            raise BadRequest("the body has more than one content")
    fields = parse_json("".join(around).encode("utf-8")) if "".join(around).strip() else {}
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields


def decode_base64(spool: Spool, into: Spool) -> None:
    """Decode a spool of base64 into another one. Raises BadRequest."""
    rest = b""
    for part in spool.chunks():
        rest += part
        whole = len(rest) // 4 * 4
        into.write(_base64(rest[:whole]))
        rest = rest[whole:]
    if rest:
        raise BadRequest("content is not base64: its length is not a multiple of four")


def _base64(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadRequest("content is not base64") from error


def _next_piece(source: _Text) -> tuple[str, bool]:
    """A bracket, a colon, a run of anything else outside strings, or a whole string (then True)."""
    if source.held[0] != '"':
        plain = _PLAIN.match(source.held)
        return source.take(plain.end() if plain else 1), False
    while True:
        whole = _STRING.match(source.held)
        if whole:
            return source.take(whole.end()), True
        if len(source.held) > AROUND_LIMIT:
            raise BadRequest("a field beside content is too long")
        if not source.more():
            raise BadRequest("the body is not valid JSON: a string does not end")


def _starts_string(source: _Text) -> bool:
    """Whether a string follows; blanks before it are dropped."""
    while True:
        source.held = source.held.lstrip(" \t\r\n")
        if source.held:
            return source.held[0] == '"'
        if not source.more():
            return False


def _string(source: _Text) -> Iterator[str]:
    """The characters of the string that begins here, in pieces; both its quotes are taken."""
    source.take(1)
    while True:
        match = _CHARACTERS.match(source.held)
        end = match.end() if match else 0
        closed = source.held[end : end + 1] == '"'
        high = None if closed else _HIGH_SURROGATE.search(source.held, 0, end)
        if high:
            end = high.start()  # its other half must be decoded with it
        if end:
            yield json.loads(f'"{source.take(end)}"')
        if closed:
            source.take(1)
            return
        if len(source.held) >= 12:  # two whole escapes: what stopped us is none
            raise BadRequest(
                "the body is not valid JSON: content has a character or an escape that JSON does not allow"
            )
        if not source.more():
            raise BadRequest("the body is not valid JSON: content does not end")


def _keep(text: str, spool: Spool, limit: int) -> None:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("content is not valid Unicode") from error
    if spool.size + len(data) > limit:
        raise TooLarge("content too large")
    spool.write(data)
