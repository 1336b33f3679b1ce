"""A daemon that says what a test tells it to, over HTTP or not, on a unix socket."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Final, Optional

__all__ = ["Heard", "Reply", "ScriptedDaemon", "chunked", "raw", "refused", "said", "value"]


@dataclass(frozen=True)
class Heard:
    """A request as it came; the path with its version and query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[socket.socket], bool]  # writes an answer; whether the connection is kept


def said(status: int = 200, body: bytes = b"", *, headers: Sequence[str] = (), keep: bool = True) -> Reply:
    """An answer whose length is told."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return raw(("\r\n".join(lines) + "\r\n\r\n").encode() + body, keep=keep)


def value(value: Any, status: int = 200) -> Reply:
    """JSON."""
    return said(status, json.dumps(value).encode(), headers=["Content-Type: application/json"])


def refused(status: int, message: str) -> Reply:
    """A refusal as the daemon words it."""
    return value({"message": message}, status)


def raw(data: bytes, *, keep: bool = False) -> Reply:
    """Bytes of whatever kind."""

    def reply(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return reply


def chunked(*parts: bytes, end: bool = True) -> Reply:
    """A stream in chunks; without `end` the connection closes where the next one would come."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if end else b"")
    return raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, keep=end)


class ScriptedDaemon:
    """Answers each path (without version and query) by its reply; an unknown one by 404; /_ping by `version`."""

    def __init__(self, version: Optional[str] = "1.41") -> None:
        self._directory = tempfile.mkdtemp(prefix="scripted-")
        self.socket_path: Final = str(Path(self._directory) / "docker.sock")
        self.replies: dict[str, Reply] = {}
        self.before_body: Optional[Reply] = None  # answers a chunked request in the place of its reply, body unread
        self.done = threading.Event()  # set at the end, for replies that wait
        self._lock = threading.Lock()  # guards what follows
        self._heard: list[Heard] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: Optional[socket.socket] = None
        self.accepted = 0
        if version is not None:
            self.replies["/_ping"] = said(200, b"OK", headers=[f"Api-Version: {version}"])

    def __enter__(self) -> ScriptedDaemon:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def heard(self) -> list[Heard]:
        """All requests but the pings."""
        with self._lock:
            return [heard for heard in self._heard if not heard.path.endswith("/_ping")]

    @property
    def pings(self) -> int:
        """How often a version was negotiated."""
        with self._lock:
            return sum(heard.path == "/_ping" for heard in self._heard)

    def start(self) -> None:
        """Listen, again maybe."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.socket_path)
        listener.listen(64)
        thread = threading.Thread(target=self._accept, args=(listener,), name="scripted", daemon=True)
        with self._lock:
            self._listener = listener
            self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Be gone, with every connection."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, []
            threads, self._threads = self._threads, []
        if listener is None:
            return
        Path(self.socket_path).unlink()
        for end in [listener, *connections]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        listener.close()

    def hang_up(self) -> None:
        """Close every connection, and go on listening."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="scripted-call", daemon=True)
            with self._lock:
                self.accepted += 1
                self._connections.append(connection)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while True:
                first = lines.readline().decode("latin-1")
                if not first:
                    return
                headers = {}
                for line in iter(lines.readline, b"\r\n"):
                    name, _, text = line.decode("latin-1").partition(":")
                    headers[name.lower()] = text.strip()
                body = lines.read(int(headers.get("content-length", "0")))
                if headers.get("transfer-encoding") == "chunked":
                    if self.before_body is not None:
                        self.before_body(connection)
                        return
                    while size := int(lines.readline(), 16):
                        body += lines.read(size)
                        lines.readline()
                    lines.readline()
                method, path, _ = first.split(" ", 2)
                with self._lock:
                    self._heard.append(Heard(method, path, headers, body))
                bare = path.partition("?")[0]
                if bare.startswith("/v1."):
                    bare = bare[bare.index("/", 1) :]
                if not self.replies.get(bare, refused(404, f"page not found: {bare}"))(connection):
                    return
