"""Between the thread that reads a log and the viewer: pieces go in one by one and come out as few, large messages."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Optional

from dockpal_agent.containers.streams import Ended

__all__ = ["Pipe"]


class Pipe:
    """One thread puts, one takes, any may close. `message` is the most bytes of a message, `held` the most that wait.

    The daemon sends a log line by line, 50 MB as half a million pieces: neither side may be woken for each of them. So
    the taker is woken only when it waits, and the putter only when half of what is held has gone.
    """

    def __init__(self, message: int, held: int) -> None:
        self._message: Final = message
        self._held: Final = held
        self._lock = threading.Lock()  # guards what follows; the two conditions are of this lock
        self._filled = threading.Condition(self._lock)
        self._drained = threading.Condition(self._lock)
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._taker_waits = False
        self._end: Optional[Ended] = None
        self._closed = False

    def put(self, piece: bytes) -> bool:
        """Add a piece of at most `message` bytes; False once it is closed.

        It waits for room as long as the viewer takes: the transport drops one that does not read, and closes.
        """
        with self._lock:
            if self._size >= self._held:
                self._drained.wait_for(lambda: self._closed or self._size <= self._held // 2)
            if self._closed:
                return False
            self._pieces.append(piece)
            self._size += len(piece)
            if self._taker_waits:
                self._filled.notify()
            return True

    def take(self, timeout: float) -> Optional[bytes]:
        """Whole pieces, in order, as many as fit in a message; None after `timeout` seconds. Raises Ended."""
        with self._lock:
            if not self._pieces and self._end is None and not self._closed:
                self._taker_waits = True
                self._filled.wait_for(lambda: self._pieces or self._end is not None or self._closed, timeout)
                self._taker_waits = False
            if self._closed:
                raise Ended()
            if not self._pieces:
                if self._end is not None:
                    raise self._end
                return None
            message = self._gather()
            if self._size <= self._held // 2:
                self._drained.notify()
            return message

    def end(self, how: Ended) -> None:
        """Nothing more will be put; what is held can still be taken."""
        with self._lock:
            self._end = self._end or how
            self._filled.notify_all()

    def close(self) -> None:
        """End both sides' waits at once; what is held is dropped."""
        with self._lock:
            self._closed = True
            self._pieces.clear()
            self._filled.notify_all()
            self._drained.notify_all()

    def _gather(self) -> bytes:
        taken = [self._pieces.popleft()]
        size = len(taken[0])
        while self._pieces and size + len(self._pieces[0]) <= self._message:
            taken.append(self._pieces.popleft())
            size += len(taken[-1])
        self._size -= size
        return b"".join(taken)
