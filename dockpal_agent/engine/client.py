"""The Docker Engine REST API over its unix socket: one call, or one stream, at a time for any number of threads.

    engine = Engine("/var/run/docker.sock")
    engine.get("/containers/json").json()
    with engine.stream("GET", "/events") as events: ...

No lock is held while anything waits: a hung daemon holds the threads that called it, each until its own limit.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, Optional, Union
from urllib.parse import quote, urlencode

from dockpal_agent.engine.answers import READ_SIZE, Answer, Stream, parse
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.connection import Connection, Pool
from dockpal_agent.engine.deadline import Deadline, Silence
from dockpal_agent.engine.errors import (
    BadParameter,
    EngineBroken,
    EngineCancelled,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    refusal,
)

__all__ = ["Cancel", "Data", "Engine", "segment"]

OLDEST: Final = (1, 41)  # Docker 20.10
NEWEST: Final = (1, 51)  # Docker 28.3, the newest whose fields we know
WITHIN: Final = 30.0  # seconds for a whole call, where the call does not say otherwise
OK: Final = (200, 201, 202, 204)
ANSWER_LIMIT: Final = 64 << 20  # bytes of one answer
ERROR_LIMIT: Final = 1 << 20  # bytes of an error's body
HEAD_LIMIT: Final = 1 << 20  # bytes until the body of a stream begins

_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})", re.ASCII)
_WRONG_VERSION: Final = re.compile(r"client version [0-9.]+ is too (?:old|new)")
_HARMLESS: Final = frozenset({"GET", "HEAD"})  # may be sent twice

Data = Union[bytes, BinaryIO, Iterable[bytes]]


def segment(text: str) -> str:
    """One path segment, quoted (RFC 3986 section 3.3). Raises BadParameter for what cannot be one."""
    if text in ("", ".", ".."):  # the daemon would take these for another path
        raise BadParameter(f"{text!r} is not a name or an id", 400)
    try:
        return quote(text, safe=":@")
    except UnicodeEncodeError as error:
        raise BadParameter("a name or an id must be valid text", 400) from error


class _Request:
    """A request as it goes over the wire, its version apart."""

    __slots__ = ("data", "headers", "method", "path", "repeatable")

    def __init__(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]],
        body: Any,
        data: Optional[Data],
        headers: Optional[Mapping[str, str]],
    ) -> None:
        self.method = method
        # A file name's undecodable bytes (os.fsdecode) reach the daemon as the bytes they are.
        self.path = f"{path}?{urlencode(query, errors='surrogateescape')}" if query else path
        self.headers = dict(headers or {})
        self.data = data
        if body is not None:
            self.data = json.dumps(body).encode("ascii")
            self.headers["Content-Type"] = "application/json"
        self.repeatable = self.data is None or isinstance(self.data, bytes)

    def send(self, connection: Connection, prefix: str) -> None:
        """Write the request. Raises _SourceFailed where reading `data` failed.

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
            if self.data is not None or self.method not in _HARMLESS:
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
    """A file in pieces, an iterable's items. Raises _SourceFailed around what reading them raised."""
    read = getattr(data, "read", None)
    parts = iter(data) if read is None else iter(lambda: read(READ_SIZE), b"")
    while True:
        try:
            part = next(parts)
        except StopIteration:
            return
        except Exception as error:
            raise _SourceFailed(error) from error
        yield part


class _SourceFailed(Exception):
    """What was to be sent could not be read: the caller's own error, which is not to be taken for the daemon's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Engine:
    """The Docker daemon at one socket; for use by many threads at once.

    `pool` is how many idle connections are kept. More calls than that at a time open connections of their own and
    throw them away; nobody waits for a place.
    """

    def __init__(self, socket_path: str, *, pool: int = 16) -> None:
        self.socket_path: Final = socket_path
        self._pool = Pool(pool)
        self._version: Optional[tuple[int, int]] = None  # None: to be negotiated. Set as a whole, so no lock

    @property
    def api_version(self) -> tuple[int, int]:
        """The API version that calls use: the daemon's or the newest we know, whichever is older, 1.41 at the least.

        Asked for at the first call, and again after the daemon was away. Raises EngineUnavailable, EngineTimeout, and
        EngineBroken where the daemon is older than 1.41.
        """
        return self._version or self._negotiate(Deadline(WITHIN), Cancel())

    def supports(self, major: int, minor: int) -> bool:
        """Whether the negotiated version is at least this one; raises as api_version."""
        return self.api_version >= (major, minor)

    def call(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        *,
        body: Any = None,
        data: Optional[Data] = None,
        headers: Optional[Mapping[str, str]] = None,
        ok: Collection[int] = OK,
        within: float = WITHIN,
        cancel: Optional[Cancel] = None,
    ) -> Answer:
        """One call, its answer read whole. `path` goes without the version; `body` is sent as JSON, `data` as it is.

        `within` is seconds for all of it: connecting, negotiating, sending, waiting, reading. Raises EngineUnavailable,
        EngineTimeout, EngineBroken, EngineCancelled, and for a status not in `ok` EngineRefused with Docker's words.
        """
        request = _Request(method, path, query, body, data, headers)
        deadline = Deadline(within)
        token = cancel or Cancel()
        connection, response = self._open(request, deadline, token, ANSWER_LIMIT)
        try:
            if response.status not in ok:
                raise self._refusal(response)
            return Answer(response.status, response.headers, _content(response, ANSWER_LIMIT))
        except socket.timeout as error:
            raise EngineTimeout(_late(request)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _cancelled(token) or EngineBroken(f"the Docker daemon broke its answer off: {error!r}") from error
        finally:
            token.forget(connection.shutdown)
            self._release(connection, response)

    def get(self, path: str, query: Optional[Mapping[str, str]] = None, **options: Any) -> Answer:
        """call("GET", …)."""
        return self.call("GET", path, query, **options)

    def head(self, path: str, query: Optional[Mapping[str, str]] = None, **options: Any) -> Answer:
        """call("HEAD", …)."""
        return self.call("HEAD", path, query, **options)

    def post(self, path: str, query: Optional[Mapping[str, str]] = None, **options: Any) -> Answer:
        """call("POST", …)."""
        return self.call("POST", path, query, **options)

    def put(self, path: str, query: Optional[Mapping[str, str]] = None, **options: Any) -> Answer:
        """call("PUT", …)."""
        return self.call("PUT", path, query, **options)

    def delete(self, path: str, query: Optional[Mapping[str, str]] = None, **options: Any) -> Answer:
        """call("DELETE", …)."""
        return self.call("DELETE", path, query, **options)

    def stream(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        *,
        body: Any = None,
        data: Optional[Data] = None,
        headers: Optional[Mapping[str, str]] = None,
        ok: Collection[int] = OK,
        within: float = WITHIN,
        idle: Optional[float] = None,
        cancel: Optional[Cancel] = None,
    ) -> Stream:
        """One call whose answer is read as it comes. Raises as call().

        `within` is seconds until the answer's header is there, `idle` seconds of silence after it, None for any length.
        `cancel` ends it at any time; without one, the stream's own cancel() does once it is there.
        """
        request = _Request(method, path, query, body, data, headers)
        token = Cancel()  # the stream's own: to cancel one stream of a shared token is not to cancel all
        if cancel is not None:
            cancel.watch(token.cancel)

        def release(connection: Connection, response: http.client.HTTPResponse) -> None:
            token.forget(connection.shutdown)
            if cancel is not None:
                cancel.forget(token.cancel)
            self._release(connection, response)

        try:
            connection, response = self._open(request, Deadline(within), token, HEAD_LIMIT)
        except BaseException:
            if cancel is not None:
                cancel.forget(token.cancel)
            raise
        try:
            if response.status not in ok:
                raise self._refusal(response)
        except BaseException as error:
            release(connection, response)
            if isinstance(error, socket.timeout):
                raise EngineTimeout(_late(request)) from error
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise _cancelled(token) or EngineBroken(f"the Docker daemon broke its answer off: {error!r}") from error
            raise
        connection.limit(Silence(idle))
        return Stream(connection, response, token, release)

    def close(self) -> None:
        """Close the connections that are kept; those in use end with their calls."""
        self._pool.clear()

    def _open(
        self, request: _Request, deadline: Deadline, token: Cancel, allowance: int
    ) -> tuple[Connection, http.client.HTTPResponse]:
        """Send the request and receive the header of the answer; the token watches the connection from here on."""
        version = self._version or self._negotiate(deadline, token)
        prefix = f"/v{version[0]}.{version[1]}"
        return self._exchange(request, prefix, deadline, token, allowance)

    def _exchange(
        self, request: _Request, prefix: str, deadline: Deadline, token: Cancel, allowance: int
    ) -> tuple[Connection, http.client.HTTPResponse]:
        """One request over a kept connection or a new one.

        A kept connection may turn out to be dead just as it is used (the daemon restarted). A GET is then sent again
        over a new one. Nothing else is: nobody can know whether the daemon did what the lost request asked for.
        """
        connection = self._pool.take()
        if connection is not None:
            try:
                return connection, self._attempt(connection, request, prefix, deadline, token, allowance)
            except EngineUnavailable:
                self._away()
                if request.method not in _HARMLESS:
                    raise
        connection = Connection(self.socket_path)
        try:
            connection.open(deadline, token)
        except socket.timeout as error:
            raise EngineTimeout(_late(request)) from error
        except EngineUnavailable:
            self._away()
            raise
        return connection, self._attempt(connection, request, prefix, deadline, token, allowance)

    def _attempt(
        self,
        connection: Connection,
        request: _Request,
        prefix: str,
        deadline: Deadline,
        token: Cancel,
        allowance: int,
    ) -> http.client.HTTPResponse:
        """One request over this connection, which is closed when no answer comes."""
        connection.limit(deadline, allowance)
        token.watch(connection.shutdown)
        answered = False
        try:
            request.send(connection, prefix)
            response = connection.receive()
            answered = True
            return response
        except _SourceFailed as failed:
            raise failed.error from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._meaning(error, request, token) from error
        finally:
            if not answered:
                token.forget(connection.shutdown)
                connection.close()

    def _meaning(self, error: Exception, request: _Request, token: Cancel) -> EngineError:
        """What it means that no answer came."""
        if token.cancelled:
            return EngineCancelled("the call was cancelled")
        if isinstance(error, socket.timeout):
            return EngineTimeout(_late(request))
        if isinstance(error, OSError):  # http.client.RemoteDisconnected is one
            return EngineUnavailable("the Docker daemon went away before it answered")
        return EngineBroken(f"what answers at {self.socket_path} does not speak HTTP: {error!r}")

    def _release(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        """Keep the connection if its answer was read to the end, else close it."""
        if response.isclosed() and not response.will_close and not connection.spoiled:
            self._pool.give(connection)
        else:
            connection.close()
            response.close()

    def _refusal(self, response: http.client.HTTPResponse) -> EngineError:
        """The error of an answer: `{"message": …}`, or whatever text came. Versions are negotiated anew where due."""
        content = _content(response, ERROR_LIMIT)
        message = ""
        try:
            value = parse(content)
            if isinstance(value, dict):
                message = str(value.get("message") or value.get("cause") or "")
        except EngineBroken:
            message = content[:1000].decode("utf-8", "replace").strip()
        if response.status == 400 and _WRONG_VERSION.search(message):
            self._version = None  # the daemon was exchanged for another one; the next call asks
        return refusal(response.status, message or f"the Docker daemon answered {response.status} {response.reason}")

    def _away(self) -> None:
        """The daemon is not there: what we keep is of no use, and what comes back may be another version."""
        self._version = None
        self._pool.clear()

    def _negotiate(self, deadline: Deadline, token: Cancel) -> tuple[int, int]:
        """Ask for the daemon's version. Engine API: GET /_ping; GET /version where the header lacks or is too new."""
        answer = self._plain("/_ping", deadline, token)
        newest = _version(answer.headers.get("Api-Version", ""))
        oldest = OLDEST
        if newest is None or newest > NEWEST:
            value = self._plain("/version", deadline, token).json()
            facts = value if isinstance(value, dict) else {}
            newest = _version(str(facts.get("ApiVersion", "")))
            oldest = max(OLDEST, _version(str(facts.get("MinAPIVersion", ""))) or OLDEST)
        if newest is None:
            raise EngineBroken(f"what answers at {self.socket_path} does not name a Docker API version")
        if newest < OLDEST:
            raise EngineBroken(
                f"the Docker daemon speaks API {newest[0]}.{newest[1]}; "
                f"1.41 (Docker 20.10) is the oldest that dockpal-agent can use"
            )
        self._version = version = max(min(newest, NEWEST), oldest)
        return version

    def _plain(self, path: str, deadline: Deadline, token: Cancel) -> Answer:
        """A GET without a version in its path, for the negotiation itself."""
        request = _Request("GET", path, None, None, None, None)
        connection, response = self._exchange(request, "", deadline, token, ERROR_LIMIT)
        try:
            if response.status != 200:
                raise self._refusal(response)
            return Answer(response.status, response.headers, _content(response, ERROR_LIMIT))
        except socket.timeout as error:
            raise EngineTimeout(_late(request)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _cancelled(token) or EngineBroken(f"the Docker daemon broke its answer off: {error!r}") from error
        finally:
            token.forget(connection.shutdown)
            self._release(connection, response)


def _content(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The whole body; the socket's allowance bounds what is not announced."""
    if response.length is not None and response.length > limit:
        raise EngineBroken(f"the Docker daemon's answer is too long: {response.length} bytes")
    return response.read()


def _late(request: _Request) -> str:
    return f"the Docker daemon did not answer in time ({request.method} {request.path.partition('?')[0]})"


def _cancelled(token: Cancel) -> Optional[EngineCancelled]:
    return EngineCancelled("the call was cancelled") if token.cancelled else None


def _version(text: str) -> Optional[tuple[int, int]]:
    found = _VERSION.fullmatch(text)
    return (int(found.group(1)), int(found.group(2))) if found else None
