"""A request to the daemon, checked and written to the wire."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, Optional, Union
from urllib.parse import quote, urlencode

from dockpal_agent.engine.connection import Connection
from dockpal_agent.engine.errors import BadParameter

__all__ = ["Data", "Outgoing", "SourceFailed", "segment"]

PART_SIZE: Final = 65536  # bytes of a file sent at once

_FIELD: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)  # what a header field may hold (RFC 9110 section 5.5)

Data = Union[bytes, BinaryIO, Iterable[bytes]]


def segment(text: str) -> str:
    """One path segment, quoted (RFC 3986 section 3.3). Raises BadParameter for what cannot be one.

    The daemon decodes a path before it cleans it: a part that is empty, `.` or `..` between slashes, quoted or not,
    would lead to another call.
    """
    if any(part in ("", ".", "..") for part in text.split("/")):
        raise BadParameter(f"{text!r} is not a name or an id", 400)
    try:
        return quote(text, safe=":@")
    except UnicodeEncodeError as error:
        raise BadParameter("a name or an id must be valid text", 400) from error


class SourceFailed(Exception):
    """What was to be sent could not be read: the caller's own error, which is not to be taken for the daemon's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Outgoing:
    """A request as it goes over the wire, the API version in its path apart.

    Raises BadParameter where a query or a header cannot be sent, whoever gave it.
    """

    __slots__ = ("data", "headers", "method", "path")

    def __init__(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        body: Any = None,
        data: Optional[Data] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = dict(headers) if headers else {}
        self.data = data
        if query:
            try:  # a file name's undecodable bytes (os.fsdecode) reach the daemon as the bytes they are
                self.path = f"{path}?{urlencode(query, errors='surrogateescape')}"
            except UnicodeEncodeError as error:
                raise BadParameter("a parameter is not valid text", 400) from error
        if body is not None:
            self.data = json.dumps(body).encode("ascii")
            self.headers["Content-Type"] = "application/json"
        for name, value in self.headers.items():
            if not _FIELD.fullmatch(value):
                raise BadParameter(f"{name} has characters that a header cannot hold", 400)

    @property
    def harmless(self) -> bool:
        """Whether the daemon may be asked twice: it changes nothing."""
        return self.method in ("GET", "HEAD")

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"

    def send(self, connection: Connection, prefix: str) -> None:
        """Write the request. Raises SourceFailed where reading `data` failed, socket.timeout.

        That the daemon hung up is no error yet: it may have answered before it had read all, a refusal in most cases,
        and receiving tells.
        """
        connection.spoiled = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._write(connection, prefix)
            connection.spoiled = False

    def _write(self, connection: Connection, prefix: str) -> None:
        connection.putrequest(self.method, prefix + self.path, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        if self.data is None or isinstance(self.data, bytes):
            if self.data is not None or not self.harmless:
                connection.putheader("Content-Length", str(len(self.data or b"")))
            connection.endheaders(self.data)
            return
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for part in _parts(self.data):
            if part:
                connection.send(b"%x\r\n%b\r\n" % (len(part), part))
        connection.send(b"0\r\n\r\n")


def _parts(data: Union[BinaryIO, Iterable[bytes]]) -> Iterator[bytes]:
    """A file in pieces, an iterable's items. Raises SourceFailed around what reading them raised."""
    read = getattr(data, "read", None)
    parts = iter(data) if read is None else iter(lambda: read(PART_SIZE), b"")
    while True:
        try:
            part = next(parts)
        except StopIteration:
            return
        except Exception as error:
            raise SourceFailed(error) from error
        yield part
