"""The server of direct mode: listens, admits, gives each connection a thread, stops in order.

The accept loop does nothing that a client could prolong: the TLS handshake, the reading, even telling that all places
are taken, happen in threads of their own. Nothing wakes up while nobody calls.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, Optional

from dockpal_agent.config import Listen
from dockpal_agent.transport.direct.certificates import Certificate
from dockpal_agent.transport.direct.connections import Admission, Connection, Connections
from dockpal_agent.transport.direct.handler import Handler, Service
from dockpal_agent.transport.direct.limits import Limits
from dockpal_agent.transport.direct.listening import bind
from dockpal_agent.transport.direct.renewal import Renewal

__all__ = ["DirectServer"]

log = logging.getLogger(__name__)

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EVICTED: Final = 8  # connections given up at once for their descriptors
BREATH: Final = 0.1  # seconds without accepting while the process has no descriptor or memory left
BETWEEN_COMPLAINTS: Final = 60.0  # seconds between two log lines about that
DEFAULT: Final = Limits()
NEVER: Final = 3600.0 * 24  # the accept loop's poll interval; stopping wakes it


class DirectServer:
    """Serves `service` on the addresses of `listen`, over TLS when a certificate is given.

    server = DirectServer(service, [config.direct_listen], tls=certificate)
    server.start()   # raises OSError with a text for the user
    server.stop(10)  # seconds for answers and streams to end
    """

    def __init__(
        self,
        service: Service,
        listen: Iterable[Listen],
        *,
        tls: Optional[Certificate] = None,
        max_connections: int = 512,
        limits: Limits = DEFAULT,
    ) -> None:
        self.service: Final = service
        self.limits: Final = limits
        self.connections: Final = Connections(max_connections, limits.refusals)
        self._listen: Final = tuple(listen)
        self._renewal: Final = Renewal(tls) if tls is not None else None
        self._fronts: list[_Front] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Bind all addresses, then accept on them. Raises OSError that names the address, with nothing left bound."""
        with contextlib.ExitStack() as undo:
            for address in self._listen:
                front = _Front(self, address)
                undo.callback(front.server_close)
                self._fronts.append(front)
            undo.pop_all()
        for number, front in enumerate(self._fronts):
            thread = threading.Thread(target=front.serve_forever, args=(NEVER,), name=f"direct-accept-{number}")
            thread.daemon = True
            thread.start()
            self._threads.append(thread)
        if self._renewal is not None:
            self._renewal.start()

    @property
    def port(self) -> int:
        """The port of the first address, as bound: tests listen on port 0."""
        return int(self._fronts[0].server_address[1])

    def context(self) -> Optional[ssl.SSLContext]:
        """The TLS context for the next handshake, None for plain HTTP."""
        return self._renewal.context if self._renewal is not None else None

    def stop(self, deadline: float = 10.0) -> bool:
        """Stop accepting, let what runs end for `deadline` seconds, then cut it. Whether everything ended by itself."""
        end = time.monotonic() + deadline
        for front in self._fronts:
            front.stop()
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 1.0))
        self.connections.begin_stop()
        by_itself = self.connections.wait_empty(end - time.monotonic())
        if not by_itself:
            log.warning("direct: %d connections are cut off", self.connections.count())
            self.connections.cut_all()
            self.connections.wait_empty(1.0)
        if self._renewal is not None:
            self._renewal.stop()
        return by_itself


class _Front(ThreadingMixIn, HTTPServer):
    """One listening socket and its accept loop."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, server: DirectServer, address: Listen) -> None:
        self._server = server
        self._address = address
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._complained_at = -BETWEEN_COMPLAINTS
        super().__init__((address.host, address.port), BaseHTTPRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = bind(address, self.request_queue_size)
        self.server_address = self.socket.getsockname()

    def stop(self) -> None:
        """Leave the accept loop and close the socket."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the loop out of its wait
        self.shutdown()
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept. With no descriptor left, idle connections are closed and the loop takes breath: it must not spin."""
        try:
            accepted, address = self.socket.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._complain(error)
                self._server.connections.evict(EVICTED)
                self._stopping.wait(BREATH)
            raise
        with contextlib.suppress(OSError):  # gone already: its thread will see
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return accepted, address

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained_at >= BETWEEN_COMPLAINTS:
            self._complained_at = now
            log.warning("direct: cannot accept connections: %s", error.strerror)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Admit the connection and give it its thread."""
        connections = self._server.connections
        connection = connections.admit(request, _peer(client_address[0]))
        if connection.admission is Admission.DROPPED:
            request.close()
            return
        name = f"direct-{next(self._numbers)}"
        thread = threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left
            connections.remove(connection)
            request.close()
            log.warning("direct: a connection was closed: %s", error)

    def _serve(self, connection: Connection) -> None:
        try:
            Handler(connection, self._server, self)
        except Exception:  # the boundary of a connection's thread
            log.exception("direct: connection of %s failed", connection.peer)
        finally:
            with contextlib.suppress(OSError):
                connection.socket.close()
            self._server.connections.remove(connection)

    def server_close(self) -> None:
        """Close the listening socket only; connections end by themselves or are ended."""
        TCPServer.server_close(self)


def _peer(address: str) -> str:
    """The caller's address as people write it: IPv4 without its IPv6 mapping, no zone."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address
