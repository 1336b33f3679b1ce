"""A proxy on a unix socket in front of a real Engine, which breaks chosen calls and passes the rest.

    with FaultProxy(docker_socket) as proxy:
        proxy.refuse("POST", "/containers/create", message="no space left on device")
        engine = Engine(proxy.socket_path)
        ...
        assert ("POST", "/containers/create") in proxy.calls

A rule matches a method ("*" for any) and a regular expression that fits the whole path, without version and query.
It starts with its `nth` match (1 is the first) and strikes `times` times (None: for good). The first rule that is due
acts; callbacks (before, after) act in addition to it. Connections are kept alive, streams and chunked bodies pass as
they come.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Callable, Final, Optional

__all__ = ["Call", "Fault", "FaultProxy", "When"]

RELEASE_LIMIT: Final = 120.0  # seconds after which a hanging call gives up by itself
JOIN_LIMIT: Final = 5.0  # seconds for a thread to end once its sockets are shut
_VERSION: Final = re.compile(r"^/v[0-9]+\.[0-9]+(?=/)")


class When(Enum):
    """The moment at which a connection is cut, seen from the daemon."""

    BEFORE = "before the call reaches the daemon"
    AFTER = "the daemon has done it, the answer is lost"
    BODY = "in the middle of the answer's body"


class _Action(Enum):
    REFUSE = "refuse"
    HANG = "hang"
    CUT = "cut"
    SHORTEN = "shorten"
    CALL_BEFORE = "call before"
    CALL_AFTER = "call after"


@dataclass(frozen=True)
class Call:
    """A call as it came: `path` without version and query, `query` as it stood."""

    method: str
    path: str
    query: str


class Fault:
    """A rule in force. `reached` is set when it first strikes; release() lets a hanging call go on to the daemon."""

    def __init__(self, method: str, path: str, action: _Action, nth: int, times: Optional[int]) -> None:
        self.reached = threading.Event()
        self.action = action
        self.status = 500
        self.message = ""
        self.when = When.BEFORE
        self.keep = 0
        self.callback: Callable[[Call], None] = lambda call: None
        self._method = method
        self._pattern = re.compile(path)
        self._first = nth
        self._last = None if times is None else nth + times - 1
        self._seen = 0
        self._released = threading.Event()

    def is_due(self, call: Call) -> bool:
        """Count a match, and say whether the rule strikes. Called under the proxy's lock."""
        if self._method not in ("*", call.method) or not self._pattern.fullmatch(call.path):
            return False
        self._seen += 1
        return self._seen >= self._first and (self._last is None or self._seen <= self._last)

    def wait_reached(self, seconds: float = 10.0) -> None:
        """Wait until it strikes; AssertionError when it does not in time."""
        assert self.reached.wait(seconds), "the call that was to be broken did not come"

    def wait_released(self) -> None:
        """Hang."""
        self._released.wait(RELEASE_LIMIT)

    def release(self) -> None:
        """Let hanging calls go on, now and in future."""
        self._released.set()


class _Gone(Exception):
    """One of the two sides closed its connection."""


class FaultProxy:
    """See the module. `calls` is what came so far, in order."""

    def __init__(self, real_socket: str) -> None:
        self._real = real_socket
        self._directory = tempfile.mkdtemp(prefix="proxy-")
        self.socket_path: Final = str(Path(self._directory) / "docker.sock")
        self._lock = threading.Lock()  # guards what follows
        self._faults: list[Fault] = []
        self._seen: list[Call] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: Optional[socket.socket] = None

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def seen(self) -> list[Call]:
        """Every call so far."""
        with self._lock:
            return list(self._seen)

    @property
    def calls(self) -> list[tuple[str, str]]:
        """(method, path without version and query) of every call so far, but for the pings of a version negotiation."""
        return [(call.method, call.path) for call in self.seen if call.path != "/_ping"]

    def refuse(
        self,
        method: str,
        path: str,
        *,
        status: int = 500,
        message: str = "refused for a test",
        nth: int = 1,
        times: Optional[int] = 1,
    ) -> Fault:
        """Answer with an error in the daemon's place; the daemon does not hear of the call."""
        fault = Fault(method, path, _Action.REFUSE, nth, times)
        fault.status, fault.message = status, message
        return self._add(fault)

    def hang(self, method: str, path: str, *, nth: int = 1, times: Optional[int] = 1) -> Fault:
        """Hold the call back until release(), then pass it on."""
        return self._add(Fault(method, path, _Action.HANG, nth, times))

    def cut(
        self,
        method: str,
        path: str,
        when: When = When.BEFORE,
        *,
        keep: int = 1,
        nth: int = 1,
        times: Optional[int] = 1,
    ) -> Fault:
        """Close the caller's connection; with When.BODY once `keep` bytes of the body were passed on."""
        fault = Fault(method, path, _Action.CUT, nth, times)
        fault.when, fault.keep = when, keep
        return self._add(fault)

    def shorten(self, method: str, path: str, *, chunks: int, nth: int = 1, times: Optional[int] = 1) -> Fault:
        """End the answer's chunked body as it should end, but after so many chunks: the rest is never told of."""
        fault = Fault(method, path, _Action.SHORTEN, nth, times)
        fault.keep = chunks
        return self._add(fault)

    def before(
        self, method: str, path: str, callback: Callable[[Call], None], *, nth: int = 1, times: Optional[int] = None
    ) -> Fault:
        """Call back before the call goes to the daemon."""
        fault = Fault(method, path, _Action.CALL_BEFORE, nth, times)
        fault.callback = callback
        return self._add(fault)

    def after(
        self, method: str, path: str, callback: Callable[[Call], None], *, nth: int = 1, times: Optional[int] = None
    ) -> Fault:
        """Call back when the daemon has answered, before the caller sees the answer."""
        fault = Fault(method, path, _Action.CALL_AFTER, nth, times)
        fault.callback = callback
        return self._add(fault)

    def clear(self) -> None:
        """Drop all rules and let hanging calls go; what was seen stays."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def start(self) -> None:
        """Listen: the daemon is there (again)."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.socket_path)
        listener.listen(64)
        thread = threading.Thread(target=self._accept, args=(listener,), name="fault-proxy", daemon=True)
        with self._lock:
            self._listener = listener
            self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Be gone, as a daemon that was killed: the socket, the connections, what hangs. start() comes back."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._open = self._open, set()
            threads, self._threads = self._threads, []
            faults = list(self._faults)
        if listener is None:
            return
        Path(self.socket_path).unlink()
        for end in [listener, *connections]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for fault in faults:
            fault.release()
        for thread in threads:
            if thread is not threading.current_thread():  # a callback may stop the proxy
                thread.join(JOIN_LIMIT)
        listener.close()

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="fault-proxy-call", daemon=True)
            with self._lock:
                self._open.add(client)
                self._threads = [known for known in self._threads if known.is_alive()] + [thread]
                stopped = self._listener is not listener
                thread.start()
            if stopped:
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        """One caller's connection, call after call, over one connection to the daemon."""
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with client, daemon:
            with contextlib.suppress(OSError, _Gone):
                daemon.connect(self._real)
                with self._lock:
                    if client in self._open:
                        self._open.add(daemon)
                exchange = _Exchange(client, daemon)
                while self._one_call(exchange):
                    pass
            with self._lock:
                self._open -= {client, daemon}

    def _one_call(self, exchange: _Exchange) -> bool:
        """Whether the connection goes on."""
        call = exchange.read_call()
        with self._lock:
            self._seen.append(call)
            due = [fault for fault in self._faults if fault.is_due(call)]
        for struck in due:
            struck.reached.set()
            if struck.action is _Action.CALL_BEFORE:
                struck.callback(call)
        breaking = (_Action.REFUSE, _Action.HANG, _Action.CUT, _Action.SHORTEN)
        fault: Optional[Fault] = next((known for known in due if known.action in breaking), None)
        cut = fault.when if fault and fault.action is _Action.CUT else None
        if fault and fault.action is _Action.REFUSE:
            exchange.refuse(fault.status, fault.message)
            return True
        if fault and fault.action is _Action.HANG:
            fault.wait_released()
        if cut is When.BEFORE:
            return False
        exchange.forward()
        if cut is When.AFTER:
            exchange.swallow_answer()
            return False
        exchange.read_answer()
        for struck in due:
            if struck.action is _Action.CALL_AFTER:
                struck.callback(call)
        if fault and fault.action is _Action.SHORTEN:
            exchange.shorten_answer(fault.keep)
            return False
        return exchange.pass_answer(keep=fault.keep if fault and cut else None)


class _Exchange:
    """HTTP/1.1 between a caller and the daemon, one call at a time; bodies pass as the bytes they are."""

    def __init__(self, client: socket.socket, daemon: socket.socket) -> None:
        self._client = _Reader(client)
        self._daemon = _Reader(daemon, client)
        self._method = ""
        self._head = b""
        self._body: Iterator[bytes] = iter(())
        self._forwarded = False  # the whole call went to the daemon
        self._to_end = False  # the answer's body ends with the connection

    def read_call(self) -> Call:
        """The next call's header; its body is still to come."""
        self._head = self._client.head()
        self._method, target, _ = self._head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        fields = _fields(self._head)
        self._body = self._client.body(fields, default=0)
        path, _, query = target.partition("?")
        return Call(self._method, _VERSION.sub("", path), query)

    def refuse(self, status: int, message: str) -> None:
        """Answer in the daemon's place, once the body has been read."""
        for _ in self._body:
            pass
        body = b"" if self._method == "HEAD" else json.dumps({"message": message}).encode()
        head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._client.socket.sendall(head.encode() + body)

    def forward(self) -> None:
        """Send the call to the daemon."""
        self._forwarded = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before the end
            self._daemon.socket.sendall(self._head)
            for part in self._body:
                self._daemon.socket.sendall(part)
            self._forwarded = True

    def read_answer(self) -> None:
        """The answer's header; its body is still to come."""
        self._head = self._daemon.head()
        status = int(self._head.split(b" ", 2)[1])
        fields = _fields(self._head)
        bodiless = self._method == "HEAD" or status in (204, 304)
        self._to_end = not bodiless and "content-length" not in fields and "transfer-encoding" not in fields
        self._body = iter(()) if bodiless else self._daemon.body(fields, default=None)

    def pass_answer(self, keep: Optional[int]) -> bool:
        """Pass the answer on, of its body no more than `keep` bytes where that is given; whether all goes on."""
        self._client.socket.sendall(self._head)
        for part in self._body:
            if keep is not None:
                self._client.socket.sendall(part[:keep])
                return False
            self._client.socket.sendall(part)
        return self._forwarded and not self._to_end

    def shorten_answer(self, chunks: int) -> None:
        """Pass so many chunks of the answer on (size, bytes, line end), and then its end."""
        self._client.socket.sendall(self._head)
        passed = b"".join(itertools.islice(self._body, 3 * chunks))
        self._client.socket.sendall(passed + b"0\r\n\r\n")

    def swallow_answer(self) -> None:
        """Read the whole answer and tell nobody."""
        self.read_answer()
        for _ in self._body:
            pass


class _Reader:
    """The receiving side of a connection. With `watched`, a wait ends (_Gone) when that side hangs up."""

    def __init__(self, source: socket.socket, watched: Optional[socket.socket] = None) -> None:
        self.socket: Final = source
        self._watched = watched
        self._rest = b""

    def head(self) -> bytes:
        """A message's first line and fields, with the empty line."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def body(self, fields: dict[str, str], default: Optional[int]) -> Iterator[bytes]:
        """The body's bytes as they come, framing and all. `default` is its length where no field says it, None: all."""
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked()
        length = fields.get("content-length")
        return self._counted(default if length is None else int(length))

    def _counted(self, left: Optional[int]) -> Iterator[bytes]:
        while left is None or left > 0:
            if not self._rest:
                try:
                    self._rest = self._receive()
                except _Gone:
                    if left is None:
                        return
                    raise
            part = self._rest if left is None else self._rest[:left]
            self._rest = self._rest[len(part) :]
            left = None if left is None else left - len(part)
            yield part

    def _chunked(self) -> Iterator[bytes]:
        size = -1
        while size != 0:
            line = self._line()
            size = int(line.split(b";")[0], 16)
            yield line
            if size:
                yield from self._counted(size)
                yield self._line()
        while True:  # trailer fields, up to the empty line
            line = self._line()
            yield line
            if line == b"\r\n":
                return

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._rest += self._receive()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line + b"\r\n"

    def _receive(self) -> bytes:
        if self._watched is not None:
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            poll.register(self._watched, select.POLLIN)
            ready = [number for number, _ in poll.poll()]
            if self.socket.fileno() not in ready:
                raise _Gone
        part = self.socket.recv(65536)
        if not part:
            raise _Gone
        return part


def _fields(head: bytes) -> dict[str, str]:
    """A message's header fields, their names lower-case."""
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
