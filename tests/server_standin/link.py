"""The network between agent and Server: a TCP relay that can be frozen, throttled or cut while it carries a line."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Optional

__all__ = ["Link"]


class Link:
    """Relays loopback connections to `port`.

    `freeze` keeps every connection open and carries nothing more (half-open); `thaw` makes it carry again, new ones
    included; `rate` is bytes per second in each direction, None for no limit; `cut` resets what is connected.
    """

    def __init__(self, port: int, *, rate: Optional[int] = None) -> None:
        self._target = port
        self.rate = rate
        self.carried = 0
        self.connections = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._closed = True
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def freeze(self) -> None:
        """From now on nothing arrives at either side, and neither is told."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(source, target), name="link-relay", daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while True:
                self._flowing.wait()
                rate = self.rate
                data = source.recv(65536 if rate is None else max(rate // 20, 1))
                self._flowing.wait()
                if not data:
                    break
                if rate is not None:
                    time.sleep(len(data) / rate)  # the one place that sleeps: this is what a slow link is
                target.sendall(data)
                self.carried += len(data)
        except OSError:
            pass
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
