"""The Docker Engine REST API over its unix socket: one call, or one stream, at a time for any number of threads.

    engine = Engine("/var/run/docker.sock")
    engine.get("/containers/json").json()
    with engine.stream("GET", "/events") as events: ...

No lock is held while anything waits: a hung daemon holds the threads that called it, each until its own limit.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Optional

from dockpal_agent.engine.answers import Answer, Stream, parse
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.connection import Connection, Pool
from dockpal_agent.engine.deadline import Deadline, Silence
from dockpal_agent.engine.errors import (
    EngineBroken,
    EngineCancelled,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    refusal,
)
from dockpal_agent.engine.outgoing import Data, Outgoing, SourceFailed, segment

__all__ = ["Cancel", "Data", "Engine", "segment"]

OLDEST: Final = (1, 41)  # Docker 20.10
NEWEST: Final = (1, 51)  # Docker 28.3, the newest whose fields we know
WITHIN: Final = 30.0  # seconds for a whole call, where the call does not say otherwise
OK: Final = (200, 201, 202, 204)
ANSWER_LIMIT: Final = 64 << 20  # bytes of one answer
SMALL_LIMIT: Final = 1 << 20  # bytes of an error, of a version, of a stream's header
MESSAGE_LIMIT: Final = 1000  # characters of an error that is not Docker's JSON

_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})", re.ASCII)
_WRONG_VERSION: Final = re.compile(r"client version [0-9.]+ is too (?:old|new)")


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
        What reading `data` raises comes out as it is.
        """
        request = Outgoing(method, path, query, body, data, headers)
        deadline, token = Deadline(within), cancel or Cancel()
        return self._whole(request, self._prefix(deadline, token), deadline, token, ANSWER_LIMIT, ok)

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
        request = Outgoing(method, path, query, body, data, headers)
        deadline, token = Deadline(within), Cancel()  # a token of its own: cancelling one stream ends no other
        with contextlib.ExitStack() as undo:
            if cancel is not None:
                cancel.watch(token.cancel)
                undo.callback(cancel.forget, token.cancel)
            prefix = self._prefix(deadline, token)
            connection, response = self._exchange(request, prefix, deadline, token, SMALL_LIMIT)
            undo.callback(self._release, connection, response, token)
            if response.status not in ok:
                with _reading(request, token):
                    raise self._refusal(response)
            connection.limit(Silence(idle))
            return Stream(connection, response, token, undo.pop_all().close)

    def close(self) -> None:
        """Close the connections that are kept; those in use end with their calls."""
        self._pool.clear()

    def _whole(
        self,
        request: Outgoing,
        prefix: str,
        deadline: Deadline,
        token: Cancel,
        limit: int,
        ok: Collection[int],
    ) -> Answer:
        """Send the request and read the answer, of `limit` bytes at the most."""
        connection, response = self._exchange(request, prefix, deadline, token, limit)
        try:
            with _reading(request, token):
                if response.status not in ok:
                    raise self._refusal(response)
                return Answer(response.status, response.headers, _content(response, limit))
        finally:
            self._release(connection, response, token)

    def _exchange(
        self, request: Outgoing, prefix: str, deadline: Deadline, token: Cancel, allowance: int
    ) -> tuple[Connection, http.client.HTTPResponse]:
        """Send the request, over a kept connection or a new one, and receive the answer's header.

        A kept connection may turn out to be dead just as it is used (the daemon restarted). A GET is then sent again
        over a new one. Nothing else is: nobody can know whether the daemon did what the lost request asked for.
        """
        connection = self._pool.take()
        if connection is not None:
            try:
                return connection, _attempt(connection, request, prefix, deadline, token, allowance)
            except EngineUnavailable:
                self._away()
                if not request.harmless:
                    raise
        connection = Connection(self.socket_path)
        try:
            connection.open(deadline, token)
            return connection, _attempt(connection, request, prefix, deadline, token, allowance)
        except socket.timeout as error:
            raise EngineTimeout(_late(request)) from error
        except EngineUnavailable:
            self._away()
            raise

    def _release(self, connection: Connection, response: http.client.HTTPResponse, token: Cancel) -> None:
        """Keep the connection if its answer was read to the end, else close it."""
        token.forget(connection.shutdown)
        if response.isclosed() and not response.will_close and not connection.spoiled:
            self._pool.give(connection)
            return
        connection.close()
        response.close()

    def _refusal(self, response: http.client.HTTPResponse) -> EngineError:
        """The error of an answer: `{"message": …}`, or whatever text came."""
        content = _content(response, SMALL_LIMIT)
        try:
            value = parse(content)
            message = str(value.get("message") or "") if isinstance(value, dict) else ""
        except EngineBroken:  # not JSON: a proxy's words, or an old plug-in's
            message = content.decode("utf-8", "replace").strip()[:MESSAGE_LIMIT]
        if response.status == 400 and _WRONG_VERSION.search(message):
            self._version = None  # another daemon than the one we asked; the next call asks again
        return refusal(response.status, message or f"the Docker daemon answered {response.status} {response.reason}")

    def _away(self) -> None:
        """The daemon is not there: what we keep is of no use, and what comes back may be another version."""
        self._version = None
        self._pool.clear()

    def _prefix(self, deadline: Deadline, token: Cancel) -> str:
        """What stands before each path: `/v1.41`."""
        if self._pool.drop_broken():
            self._version = None
        version = self._version or self._negotiate(deadline, token)
        return f"/v{version[0]}.{version[1]}"

    def _negotiate(self, deadline: Deadline, token: Cancel) -> tuple[int, int]:
        """Agree on a version. Engine API: GET /_ping; GET /version where that is silent, or newer than we are.

        Threads that find it open at the same time each ask: that costs less than making them wait for one of them.
        """
        ping = self._whole(Outgoing("GET", "/_ping"), "", deadline, token, SMALL_LIMIT, (200,))
        newest, oldest = _version(ping.headers.get("Api-Version")), None
        if newest is None or newest > NEWEST:
            facts = self._whole(Outgoing("GET", "/version"), "", deadline, token, SMALL_LIMIT, (200,)).json()
            if isinstance(facts, dict):
                newest, oldest = _version(facts.get("ApiVersion")), _version(facts.get("MinAPIVersion"))
        if newest is None:
            raise EngineBroken(f"what answers at {self.socket_path} does not name a Docker API version")
        if newest < OLDEST:
            raise EngineBroken(
                f"the Docker daemon speaks API {newest[0]}.{newest[1]}; "
                f"1.41 (Docker 20.10) is the oldest that dockpal-agent can use"
            )
        version = max(min(newest, NEWEST), oldest or OLDEST)
        self._version = version
        return version


def _attempt(
    connection: Connection,
    request: Outgoing,
    prefix: str,
    deadline: Deadline,
    token: Cancel,
    allowance: int,
) -> http.client.HTTPResponse:
    """One request over this connection, watched by the token from here on; it is closed when no answer comes."""
    connection.limit(deadline, allowance)
    token.watch(connection.shutdown)
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        undo.callback(token.forget, connection.shutdown)
        try:
            request.send(connection, prefix)
            response = connection.receive()
        except SourceFailed as failed:
            raise failed.error from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _meaning(error, request, token) from error
        undo.pop_all()
        return response


def _meaning(error: Exception, request: Outgoing, token: Cancel) -> EngineError:
    """What it means that no answer came."""
    if token.cancelled:
        return EngineCancelled("the call was cancelled")
    if isinstance(error, socket.timeout):
        return EngineTimeout(_late(request))
    if isinstance(error, OSError):  # http.client.RemoteDisconnected is one
        return EngineUnavailable("the Docker daemon went away before it answered")
    return EngineBroken(f"what answers on the Docker socket does not speak HTTP: {error!r}")


@contextlib.contextmanager
def _reading(request: Outgoing, token: Cancel) -> Iterator[None]:
    """Say what a failure to read an answer's body means."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if token.cancelled:
            raise EngineCancelled("the call was cancelled") from error
        if isinstance(error, socket.timeout):
            raise EngineTimeout(_late(request)) from error
        raise EngineBroken(f"the Docker daemon broke its answer off ({request}): {error!r}") from error


def _content(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The whole body; what is not announced is bounded by the socket's allowance."""
    if response.length is not None and response.length > limit:
        raise EngineBroken(f"the Docker daemon's answer is too long: {response.length} bytes")
    return response.read()


def _late(request: Outgoing) -> str:
    return f"the Docker daemon did not answer in time ({request})"


def _version(text: Any) -> Optional[tuple[int, int]]:
    """(1, 41) of "1.41"."""
    found = _VERSION.fullmatch(text) if isinstance(text, str) else None
    return (int(found.group(1)), int(found.group(2))) if found else None
