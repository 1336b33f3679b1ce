"""One connection to the daemon's socket, and the few that are kept for the next call.

The connection is requests-unixsocket's; ours gives it a socket whose every wait is bounded by the call under way and
which another thread can shut down. Its adapter and pool are not used: they keep one pool for each distinct URL, so
that no connection would ever serve a second path (docs/decisions/0003).
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import select
import socket
import stat
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Optional
from urllib.parse import quote, unquote, urlparse

from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.deadline import Bound, Silence
from dockpal_agent.engine.errors import EngineBroken, EngineUnavailable

__all__ = ["Connection", "Pool", "unavailable"]

BACKLOG_PAUSE: Final = 0.02  # seconds between attempts while the daemon's queue of new connections is full


@contextlib.contextmanager
def _only_what_is_needed() -> Iterator[None]:
    """Import requests-unixsocket's connection without the sessions, adapters and pools that stand beside it.

    Its module imports requests and urllib3 for those, 2 MB of memory, and of both our connection would use nothing but
    http.client's class, from which urllib3's is made. The stand-ins are taken away again, and the module that was made
    with them, so that whoever imports one of these later gets the real one.
    """
    before = set(sys.modules)
    for name, contents in _STAND_INS.items():
        if name not in before:
            module = sys.modules[name] = types.ModuleType(name)
            vars(module).update(contents)
    try:
        yield
    finally:
        for name in (*_STAND_INS, "requests_unixsocket", "requests_unixsocket.adapters"):
            if name not in before:
                sys.modules.pop(name, None)


_URLLIB3: Final = {
    "_collections": types.SimpleNamespace(),
    "connection": types.SimpleNamespace(HTTPConnection=http.client.HTTPConnection),
    "connectionpool": types.SimpleNamespace(HTTPConnectionPool=object),
}
_STAND_INS: Final[Mapping[str, Mapping[str, object]]] = {
    "requests": {"Session": object},
    "requests.adapters": {"HTTPAdapter": object},
    "requests.compat": {"unquote": unquote, "urlparse": urlparse},
    "requests.packages": {"urllib3": types.SimpleNamespace(**_URLLIB3)},
}

if TYPE_CHECKING:
    # Of the class below only what http.client gives is used, so that is what the type checker is to see.
    class UnixHTTPConnection(http.client.HTTPConnection):
        def __init__(self, unix_socket_url: str, timeout: float = 60) -> None: ...
else:
    with _only_what_is_needed():
        from requests_unixsocket.adapters import UnixHTTPConnection


class BoundedSocket(socket.socket):
    """A stream socket that asks `bound` before each wait, and takes in no more than `allowance` bytes."""

    bound: Bound = Silence(None)
    allowance: float = float("inf")

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As socket.recv_into. Raises socket.timeout past the bound, EngineBroken past the allowance."""
        self.settimeout(self.bound.left())
        count = super().recv_into(*args, **kwargs)
        self.allowance -= count
        if self.allowance < 0:
            raise EngineBroken("the Docker daemon's answer is too long")
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As socket.sendall. Raises socket.timeout past the bound."""
        self.settimeout(self.bound.left())
        super().sendall(*args, **kwargs)


class Connection(UnixHTTPConnection):
    """A connection that serves one call at a time; `bound` may be changed between and within calls."""

    def __init__(self, socket_path: str) -> None:
        super().__init__("http+unix://" + quote(socket_path, safe=""))
        self._socket_path = socket_path
        self.spoiled = False  # half a request went out: no other may follow it
        self._wire: Optional[BoundedSocket] = None  # kept when http.client lets go of it before the answer is read

    def open(self, bound: Bound, cancel: Cancel) -> None:
        """Connect. Raises EngineUnavailable, socket.timeout; returns unconnected when cancelled meanwhile."""
        try:
            self._wire = self.sock = wire = BoundedSocket(socket.AF_UNIX, socket.SOCK_STREAM)
            while not cancel.cancelled:
                wire.settimeout(bound.left())
                try:
                    wire.connect(self._socket_path)
                    return
                except BlockingIOError:  # a unix socket with a full backlog does not wait, whatever the timeout
                    cancel.wait(BACKLOG_PAUSE)
        except socket.timeout:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise unavailable(self._socket_path, error) from error

    def connect(self) -> None:
        """http.client calls this where nothing is connected; a connection of ours is opened or given up."""
        raise ConnectionResetError(errno.ECONNRESET, "the connection was closed")

    def limit(self, bound: Bound, allowance: float = float("inf")) -> None:
        """Set what bounds the waits from now on, and how many bytes may still come."""
        if self._wire is not None:
            self._wire.bound = bound
            self._wire.allowance = allowance

    def shutdown(self) -> None:
        """End every wait on this connection; callable from any thread, at any time."""
        if self._wire is not None:
            with contextlib.suppress(OSError):  # closed or not yet connected: then nothing waits
                self._wire.shutdown(socket.SHUT_RDWR)

    def is_fresh(self) -> bool:
        """Whether a kept connection can be used again: open, and the daemon neither closed it nor said anything."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def receive(self) -> http.client.HTTPResponse:
        """The answer's header, by http.client itself: urllib3's wrapping is of no use here and costs 20 µs."""
        return http.client.HTTPConnection.getresponse(self)


class Pool:
    """Idle connections, the last used first. It never makes anyone wait: what exceeds `size` is not kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()  # guards _idle
        self._idle: list[Connection] = []

    def take(self) -> Optional[Connection]:
        """A kept connection that still stands, None where there is none. Those which broke are closed."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or connection.is_fresh():
                return connection
            connection.close()

    def drop_broken(self) -> bool:
        """Whether the newest kept connection broke, which says that the daemon restarted: then none is kept."""
        with self._lock:
            broken = bool(self._idle) and not self._idle[-1].is_fresh()
        if broken:
            self.clear()
        return broken

    def give(self, connection: Connection) -> None:
        """Keep a connection whose call is complete."""
        with self._lock:
            keep = len(self._idle) < self._size
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def clear(self) -> None:
        """Close all that is kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def unavailable(path: str, error: OSError) -> EngineUnavailable:
    """What a failed connect means and what can be done about it."""
    if isinstance(error, FileNotFoundError):
        return EngineUnavailable(
            f"there is no Docker socket at {path}: is Docker running, and is the socket mounted "
            f"(-v /var/run/docker.sock:{path})?"
        )
    if isinstance(error, PermissionError):
        return EngineUnavailable(_no_permission(path))
    if os.path.isdir(path):
        return EngineUnavailable(
            f"{path} is a directory, not a socket: Docker makes one where the mounted path did not exist; "
            "start Docker, remove the directory, and mount the socket again"
        )
    if isinstance(error, ConnectionRefusedError):
        return EngineUnavailable(f"nothing listens at {path}: the Docker daemon is not running")
    return EngineUnavailable(f"cannot connect to Docker at {path}: {error}")


def _no_permission(path: str) -> str:
    """Who may open the socket, and who we are."""
    groups = ", ".join(str(group) for group in sorted({os.getegid(), *os.getgroups()}))
    who = f"this process runs as user {os.geteuid()}, groups {groups}"
    try:
        found = os.stat(path)
    except OSError:
        return f"no permission to reach the Docker socket at {path}; {who}"
    mode = stat.S_IMODE(found.st_mode)
    return (
        f"no permission to open the Docker socket at {path}: it belongs to user {found.st_uid}, group {found.st_gid} "
        f"(mode {mode:04o}), and {who}; add the group (docker run --group-add {found.st_gid}) or run as root"
    )
