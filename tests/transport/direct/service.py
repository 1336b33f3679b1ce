"""A service for tests of the transport: each path shows one kind of answer. No Docker, no token."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Callable, Optional, Union

from dockpal_agent.api.errors import ApiError, NoSuchThing
from dockpal_agent.api.messages import ByteStream, End, Json, Message, Messages, MessageStream, Request, Response

__all__ = ["Feed", "Service"]


class Feed:
    """A message stream that a test fills; it hears what its viewer says, and echoes it where `echo` is set."""

    def __init__(self, *, echo: bool = False) -> None:
        self.queue: queue.Queue[Union[Message, Exception]] = queue.Queue(1000)
        self.heard: queue.Queue[Union[str, bytes]] = queue.Queue(1000)
        self.closed = threading.Event()
        self._echo = echo

    def put(self, *items: Union[Message, Exception]) -> None:
        """Add messages; an exception is the stream's end. Waits while many are there and the stream is open."""
        for item in items:
            while not self.closed.is_set():
                with contextlib.suppress(queue.Full):
                    self.queue.put(item, timeout=0.05)
                    break

    def hear(self, message: Union[str, bytes]) -> None:
        (self.queue if self._echo else self.heard).put(message, timeout=10)

    def next(self, timeout: float) -> Optional[Message]:
        try:
            item: Union[Message, Exception, None] = self.queue.get(timeout=timeout)
        except queue.Empty:
            item = None
        if self.closed.is_set():
            raise End("closed")
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed.set()


class Service:
    """Answers by path. `requests` keeps what came, `feeds` the streams that were opened (the last `keep`)."""

    def __init__(self, *, keep: Optional[int] = None) -> None:
        self.requests: deque[Request] = deque(maxlen=keep)
        self.feeds: deque[Feed] = deque(maxlen=keep)
        self.opened = threading.Semaphore(0)
        self.gate = threading.Event()  # /wait answers when it is set
        self.waiting = threading.Semaphore(0)
        self.streams_closed = threading.Semaphore(0)
        self.then_ran = threading.Event()
        self._paths: dict[str, Callable[[Request], Response]] = {
            "/ping": lambda request: Json({"status": "ok"}),
            "/body": lambda request: Json({"length": len(request.body.read(32 << 20))}),
            "/small-body": lambda request: Json({"text": request.body.read(1000).decode("latin-1")}),
            "/empty": lambda request: Json(None, 204),
            "/then": lambda request: Json({}, then=self.then_ran.set),
            "/wait": self._wait,
            "/known": lambda request: self._bytes(8, [b"1234", b"5678"]),
            "/short": lambda request: self._bytes(9, [b"1234", b"5678"]),
            "/long": lambda request: self._bytes(7, [b"1234", b"5678"]),
            "/unknown": lambda request: self._bytes(None, [b"1234", b"", b"5678"]),
            "/nothing": lambda request: self._bytes(None, []),
            "/endless": lambda request: self._bytes(None, iter(lambda: b"x" * 65536, b"")),
            "/fails-first": lambda request: self._bytes(None, _failing([])),
            "/fails-later": lambda request: self._bytes(None, _failing([b"1234"])),
            "/feed": lambda request: Messages(lambda: self._open(Feed())),
            "/echo": lambda request: Messages(lambda: self._open(Feed(echo=True))),
            "/no-feed": lambda request: Messages(self._refuse),
        }

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        try:
            if request.target not in self._paths:
                raise NoSuchThing("no such route")
            return self._paths[request.target](request)
        except ApiError as error:
            return self.failure(error)

    def failure(self, error: Exception) -> Json:
        if isinstance(error, ApiError):
            return Json({"error": str(error)}, error.status, error.headers)
        return Json({"error": str(error)}, 500)

    def feed(self) -> Feed:
        """The stream that the last viewer opened, once it is open."""
        assert self.opened.acquire(timeout=10)
        return self.feeds[-1]

    def _open(self, feed: Feed) -> MessageStream:
        self.feeds.append(feed)
        self.opened.release()
        return feed

    def _refuse(self) -> MessageStream:
        raise NoSuchThing("no such container")

    def _wait(self, request: Request) -> Response:
        self.waiting.release()
        assert self.gate.wait(30)
        return Json({"status": "waited"})

    def _bytes(self, length: Optional[int], parts: Union[list[bytes], Iterator[bytes]]) -> ByteStream:
        return ByteStream(iter(parts), length=length, close=self.streams_closed.release)


def _failing(parts: list[bytes]) -> Iterator[bytes]:
    yield from parts
    raise RuntimeError("the engine broke off")
