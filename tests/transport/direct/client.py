"""A client that looks at bytes, for tests of a server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Callable

__all__ = ["Client", "get", "trusting", "wait_for"]


class Client:
    """A client that sends what it is told, byte by byte if need be, and gives back what came."""

    def __init__(self, port: int, *, tls: bool = False, address: str = "127.0.0.1") -> None:
        raw = socket.create_connection((address, port), timeout=10)
        self.socket: socket.socket = trusting().wrap_socket(raw, suppress_ragged_eofs=False) if tls else raw

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`; raises when the connection ends first."""
        data = b""
        while not data.endswith(end):
            byte = self.socket.recv(1)
            if not byte:
                raise EOFError(data)
            data += byte
        return data

    def until_bytes(self, count: int) -> bytes:
        """The next `count` bytes; raises when the connection ends first."""
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError(data)
            data += part
        return data

    def rest(self) -> bytes:
        """Everything until the server closes; a break counts as an end."""
        data = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while part := self.socket.recv(65536):
                data += part
        return data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, fields (names lower-case) and body of the next answer with a Content-Length."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = b""
        while len(body) < int(fields.get("content-length", "0")):
            part = self.socket.recv(int(fields["content-length"]) - len(body))
            assert part, "the body broke off"
            body += part
        return int(head[0].split()[1]), fields, body

    def get(self, target: str = "/ping", *fields: str) -> tuple[int, dict[str, str], bytes]:
        self.send(get(target, *fields))
        return self.answer()

    def is_closed_within(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except (ConnectionError, ssl.SSLEOFError):
            return True
        except OSError:
            return False

    def close(self) -> None:
        self.socket.close()


def get(target: str = "/ping", *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: agent", *fields, "", ""]).encode("latin-1")


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def wait_for(state: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until `state` holds; fail when it does not come."""
    deadline = time.monotonic() + within
    while not state():
        assert time.monotonic() < deadline, "the state did not come"
        time.sleep(0.01)
