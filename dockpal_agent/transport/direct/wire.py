"""One connection's bytes, with a deadline on every wait, over TLS or plain TCP alike."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final, Optional

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Wire"]

SLICE: Final = 64 << 10  # bytes written under one time limit
READ_BUFFER: Final = 16 << 10


class _TimedSocket(io.RawIOBase):
    """A socket as a raw stream whose reads end at `deadline` (monotonic seconds), however slowly the bytes come."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        self._socket.settimeout(remaining)
        try:
            return self._socket.recv_into(buffer)
        except socket.timeout as error:  # its own class until Python 3.10
            raise TimeoutError("the deadline has passed") from error


class Wire:
    """Reads under a deadline that the caller moves on; writes in slices that must be taken in time.

    One thread at a time. Raises OSError when the peer is gone, TimeoutError (an OSError) when it is too slow.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket: Final = connection
        self._raw: Final = _TimedSocket(connection)
        self.reader: Final = io.BufferedReader(self._raw, READ_BUFFER)

    def within(self, seconds: float) -> None:
        """Let the following reads end `seconds` from now, all together."""
        self._raw.deadline = time.monotonic() + seconds

    def read_some(self, most: int) -> bytes:
        """At most `most` bytes, as soon as there are any; b"" at the end of the connection."""
        return self.reader.read1(most)

    def buffered(self) -> bytes:
        """Take what was read from the socket but not yet consumed, without reading more."""
        self._raw.deadline = 0.0
        with contextlib.suppress(TimeoutError):  # an empty buffer asks the socket, which the deadline forbids
            pending = len(self.reader.peek(1))
            return self.reader.read1(pending) if pending else b""
        return b""

    def write(self, data: bytes, within: float) -> None:
        """Send all of `data`; each slice of 64 KiB must be taken within `within` seconds."""
        self.socket.settimeout(within)
        if len(data) <= SLICE:
            self.socket.sendall(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), SLICE):
            self.socket.sendall(view[start : start + SLICE])

    def read_now(self, most: int) -> Optional[bytes]:
        """What has arrived, None when nothing has, b"" at the end. Never waits. Only after `buffered`."""
        self.socket.settimeout(0)
        try:
            return self.socket.recv(most)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def end(self, linger: float) -> None:
        """Say that nothing more will come, and let the peer take the last bytes, `linger` seconds at most.

        A socket closed with bytes unread resets the connection, and the reset may overtake our answer. So what still
        comes is read and thrown away, until the peer closes.
        """
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.settimeout(0)  # close_notify goes out; the peer's is not waited for
                with contextlib.suppress(ssl.SSLError):
                    self.socket.unwrap()
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            self._discard(linger)

    def _discard(self, linger: float) -> None:
        deadline = time.monotonic() + linger
        while (remaining := deadline - time.monotonic()) > 0:
            self.socket.settimeout(remaining)
            if not socket.socket.recv(self.socket, READ_BUFFER):  # below TLS: it is not looked at
                return
