"""An HTTP proxy before a real registry that counts what is asked and, when told so, has had enough.

Public registries count the manifests that are fetched (GET; Docker Hub lets a HEAD pass): past the limit each further
one is a 429 until their window is over. What else a client sends goes through and does not count.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Optional

from tests.engines.registry import Registry

__all__ = ["LimitedRegistry", "limited_registry"]

_MANIFEST: Final = re.compile(r"/v2/(.+)/manifests/[^/?]+")
_ENOUGH: Final = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
_SET_HERE: Final = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length"})


class LimitedRegistry:
    """The proxy. `registry` is the real one, as it is reached through here: same user and password."""

    def __init__(self, behind: Registry) -> None:
        self._behind: Final = behind
        self._lock = threading.Lock()  # guards the three that follow
        self._left: Optional[int] = None
        self._failing = False
        self._asked: list[str] = []
        self._server: Final = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread: Final = threading.Thread(target=self._server.serve_forever, name="limited registry", daemon=True)
        self.registry: Final = replace(behind, address=f"127.0.0.1:{self._server.server_port}")

    @property
    def asked(self) -> list[str]:
        """The repository of each manifest that was fetched in this window, refused ones too."""
        with self._lock:
            return list(self._asked)

    def allow(self, count: Optional[int]) -> None:
        """A new window begins: so many manifests, None for any number."""
        with self._lock:
            self._left = count
            self._asked.clear()

    def fail(self, failing: bool) -> None:
        """Whether every manifest is answered with a 500 from now on."""
        with self._lock:
            self._failing = failing

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way ends by itself."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def verdict(self, path: str) -> int:
        """The status of what is refused, 0 for what goes through. Counts it."""
        found = _MANIFEST.match(path)
        if found is None:
            return 0
        with self._lock:
            self._asked.append(found[1])
            if self._failing:
                return 500
            if self._left is not None:
                self._left -= 1
            return 429 if self._left is not None and self._left < 0 else 0

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        limited, behind = self, self._behind.address

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Tests look at what was asked instead."""

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = b"".join(_chunks(self.rfile))
                status = limited.verdict(self.path) if self.command == "GET" else 0
                if status:
                    self._answer(status, [("Content-Type", "application/json")], json.dumps(_ENOUGH).encode())
                    return
                upstream = http.client.HTTPConnection(behind, timeout=30)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():  # one name may come several times
                    if name.lower() not in _SET_HERE:
                        upstream.putheader(name, value)
                upstream.putheader("Content-Length", str(len(body)))
                upstream.endheaders(body)
                answer = upstream.getresponse()
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                told = [(name, value) for name, value in answer.getheaders() if name.lower() not in _SET_HERE]
                self._answer(answer.status, told, answer.read(), length)
                upstream.close()

            def _answer(
                self, status: int, headers: list[tuple[str, str]], body: bytes, length: Optional[str] = None
            ) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

        return Handler


def _chunks(file: Any) -> Iterator[bytes]:
    """The chunks of a request's body (RFC 9112 section 7.1)."""
    while size := int(file.readline().partition(b";")[0], 16):
        yield file.read(size)
        file.readline()
    while file.readline().strip():
        pass


@contextmanager
def limited_registry(behind: Registry) -> Iterator[LimitedRegistry]:
    """A proxy before this registry, without a limit at first."""
    proxy = LimitedRegistry(behind)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
