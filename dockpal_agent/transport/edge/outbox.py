"""What waits to be written on one line: bounded in messages and bytes, with an answer for when it is full."""

from __future__ import annotations

import threading
import time
from collections import deque
from enum import Enum
from typing import Final, NamedTuple, Optional, Union

from dockpal_agent.transport.edge.limits import Limits

__all__ = ["Closing", "Outbox", "Outgoing", "Pong"]


class Outgoing(NamedTuple):
    """One text message. `sent` is set once it is written, or never will be."""

    data: bytes
    sent: Optional[threading.Event] = None


class Pong(NamedTuple):
    """The answer that a ping is owed."""

    payload: bytes


class Closing(NamedTuple):
    """The last item: a close frame with this code."""

    code: int


class _State(Enum):
    OPEN = "open"
    FINISHING = "finishing"  # no more is taken in; what is queued may still be written
    CLOSED = "closed"


class Outbox:
    """Filled by many threads, emptied by the writer."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._changed = threading.Condition()  # guards everything below
        self._messages: deque[Outgoing] = deque()
        self._bytes = 0
        self._pong: Optional[Pong] = None  # only the last ping need be answered (RFC 6455 section 5.5.3)
        self._closing: Optional[Closing] = None
        self._state = _State.OPEN

    @property
    def open(self) -> bool:
        """Whether an answer can still reach the Server on this line."""
        return self._state is _State.OPEN

    def put(self, data: bytes, within: float, sent: Optional[threading.Event] = None) -> bool:
        """Queue a message, waiting up to `within` seconds for room; False when there was none or the line is over."""
        until = time.monotonic() + within
        with self._changed:
            while self._state is _State.OPEN and not self._has_room(len(data)):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            if self._state is not _State.OPEN:
                return False
            self._messages.append(Outgoing(data, sent))
            self._bytes += len(data)
            self._changed.notify_all()
            return True

    def _has_room(self, size: int) -> bool:
        if not self._messages:
            return True
        return len(self._messages) < self._limits.outbox_messages and self._bytes + size <= self._limits.outbox_bytes

    def pong(self, payload: bytes) -> None:
        """Answer a ping, before whatever is queued."""
        with self._changed:
            self._pong = Pong(payload)
            self._changed.notify_all()

    def finish(self, code: int, *, flush: bool) -> None:
        """End with a close frame; `flush` says whether what is queued is written first. The first call counts."""
        with self._changed:
            if self._closing is None:
                self._closing = Closing(code)
                self._state = _State.FINISHING
            if not flush:
                self._drop()
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing will be written any more: let go of everyone who waits."""
        with self._changed:
            self._state = _State.CLOSED
            self._drop()
            self._changed.notify_all()

    def take_pong(self) -> Optional[Pong]:
        """A pong that is due, between the fragments of a long message."""
        with self._changed:
            pong, self._pong = self._pong, None
            return pong

    def take(self, timeout: float) -> Union[Outgoing, Pong, Closing, None]:
        """The next item for the writer; None when nothing came within `timeout` seconds."""
        until = time.monotonic() + timeout
        with self._changed:
            while True:
                if self._pong is not None and self._state is not _State.CLOSED:
                    pong, self._pong = self._pong, None
                    return pong
                if self._messages:
                    message = self._messages.popleft()
                    self._bytes -= len(message.data)
                    self._changed.notify_all()
                    return message
                if self._closing is not None:
                    return self._closing
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)

    def _drop(self) -> None:
        for message in self._messages:
            if message.sent is not None:
                message.sent.set()
        self._messages.clear()
        self._bytes = 0
