"""A small api behind the line, for tests of the line alone: a few routes whose pace the test holds in its hand."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Optional

from dockpal_agent.api.messages import ByteStream, End, Json, Message, Messages, MessageStream, Request, Response

__all__ = ["Scripted", "ToyService"]


class Scripted:
    """A message stream that gives what the test puts in; None ends it."""

    def __init__(self, *messages: Optional[Message]) -> None:
        self._queue: queue.Queue[Optional[Message]] = queue.Queue()
        self.closed = threading.Event()
        for message in messages:
            self.put(message)

    def put(self, message: Optional[Message]) -> None:
        self._queue.put(message)

    def next(self, timeout: float) -> Optional[Message]:
        try:
            message = self._queue.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None or self.closed.is_set():
            raise End
        return message

    def close(self) -> None:
        self.closed.set()
        self._queue.put(None)


class ToyService:
    """`handlers` by (method, path); what is not there echoes. Counts the calls of each path."""

    def __init__(self) -> None:
        self.handlers: dict[tuple[str, str], Callable[[Request], Response]] = {}
        self.ignored: set[str] = set()
        self.prompt_paths: set[str] = set()
        self.calls: dict[str, int] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self.on("GET", "/agent/host-info", lambda _: Json({"docker_version": "20.10", "agent_version": "0.1.0"}))

    def on(self, method: str, path: str, handler: Callable[[Request], Response]) -> None:
        self.handlers[method, path] = handler

    def gate(self, method: str, path: str, answer: Any = None, status: int = 200) -> threading.Event:
        """A route that answers once the event is set."""
        opened = threading.Event()

        def handler(_: Request) -> Response:
            assert opened.wait(60)
            return Json(answer, status)

        self.on(method, path, handler)
        return opened

    def stream(self, path: str, open_stream: Callable[[], MessageStream]) -> None:
        self.on("GET", path, lambda _: Messages(open_stream))

    def bytes(self, path: str) -> threading.Event:
        """A download; the event is set once it is closed."""
        closed = threading.Event()
        self.on("GET", path, lambda _: ByteStream(iter([b"x"]), close=closed.set))
        return closed

    def called(self, path: str) -> int:
        return self.calls.get(path, 0)

    # What the line asks of the api.

    def answer(self, request: Request, *, trusted: bool = False) -> Response:
        assert trusted
        with self._lock:
            self.calls[request.target] = self.calls.get(request.target, 0) + 1
            self.requests.append(request)
        handler = self.handlers.get((request.method, request.target))
        if handler is not None:
            return handler(request)
        return Json({"path": request.target, "query": dict(request.query), "body": request.json(1 << 26)})

    def status_ignored(self, request: Request) -> bool:
        return request.target in self.ignored

    def prompt(self, request: Request) -> bool:
        return request.target in self.prompt_paths

    def failure(self, error: Exception) -> Json:
        return Json({"error": str(error)}, 500)
