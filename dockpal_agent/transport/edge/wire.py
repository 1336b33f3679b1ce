"""A connected socket, with TLS or without, that one thread reads while another writes.

OpenSSL allows no reading and writing of one connection at the same moment, and a blocking read that holds a lock would
block the writer (CPython 3.13.6 did just that). So the socket does not block; every call into it is made under a lock
and returns at once, and the waiting is done outside, in poll(2), with a bound.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Callable, Final, Optional, TypeVar

__all__ = ["Wire"]

T = TypeVar("T")

CHUNK: Final = 65536  # bytes of one read
NOT_SENT_LIMIT: Final = 16384  # bytes; what the kernel may hold unsent, so that a ping can overtake a long answer
TCP_NOTSENT_LOWAT: Final = 25  # Linux; the socket module has no name for it


class Wire:
    """What the WebSocket library takes for its socket. `patience` is seconds without progress in a read or a write.

    Reading is for one thread, writing for one other; `abort` for any. A read that runs out of patience raises
    TimeoutError; the end of the connection is b"".
    """

    def __init__(self, sock: socket.socket, patience: float) -> None:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_LIMIT)
        except OSError:
            pass  # not TCP, or an older kernel: only promptness is lost
        self._sock: Final = sock
        self._lock = threading.Lock()  # guards every call into _sock, and _released
        self._released = False
        self._held = memoryview(b"")
        self.patience = patience
        self.read_by: Optional[float] = None  # monotonic; while set, all reads together end by then
        self.budget: Optional[int] = None  # bytes that may still be read; while set, more raises OSError

    def recv(self, most: int) -> bytes:
        """At least one byte and at most `most`; b"" at the end. Raises OSError, TimeoutError."""
        if not self._held:
            until = time.monotonic() + self.patience if self.read_by is None else self.read_by
            self._held = memoryview(self._turn(lambda: self._sock.recv(CHUNK), select.POLLIN, until))
        part, self._held = bytes(self._held[:most]), self._held[most:]
        if self.budget is not None:
            self.budget -= len(part)
            if self.budget < 0:
                raise OSError("the answer is too long")
        return part

    def send(self, data: bytes) -> int:
        """Write at least one byte of `data` and say how many. Raises OSError, TimeoutError."""
        return self._turn(lambda: self._sock.send(data), select.POLLOUT, time.monotonic() + self.patience)

    def abort(self) -> None:
        """End the connection under both threads: what waits returns at once. Harmless when repeated."""
        with self._lock:
            if not self._released:
                try:
                    # The plain shutdown: SSLSocket's drops the TLS state, and a late write would then go out in clear.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected any more

    def release(self) -> None:
        """Give the descriptor back, once no thread uses the wire any more."""
        self.abort()
        with self._lock:
            self._released = True
            self._sock.close()

    # What the library asks of a socket beside recv and send.

    def gettimeout(self) -> float:
        """0: the library then adds no waiting of its own."""
        return 0.0

    def settimeout(self, _: Optional[float]) -> None:
        """Bounds are `patience` and `read_by`."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        """The library closes from the reading thread while another may write: the descriptor must live on."""
        self.abort()

    def _turn(self, attempt: Callable[[], T], event: int, until: float) -> T:
        while True:
            with self._lock:
                if self._released:
                    raise ConnectionAbortedError("the line was closed")
                try:
                    return attempt()
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
                except BlockingIOError:
                    wanted = event
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            waiting = select.poll()
            waiting.register(self._sock, wanted)
            waiting.poll(left * 1000)
