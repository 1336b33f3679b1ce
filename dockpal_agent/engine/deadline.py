"""How long one call may wait: a limit for the whole of it, or for each silence within it."""

from __future__ import annotations

import socket
import time
from typing import Optional, Protocol

__all__ = ["Bound", "Deadline", "Silence"]


class Bound(Protocol):
    """What a socket asks before each wait."""

    def left(self) -> Optional[float]:
        """Seconds the next wait may take, None for no limit. Raises socket.timeout when the time is up."""


class Deadline:
    """One limit across many waits: each gets what the earlier ones left."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the end, always above zero. Raises socket.timeout when there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise socket.timeout("timed out")
        return seconds

    def rest(self) -> float:
        """What is left for a call of its own; when nothing is, next to nothing, so that the call says it is late."""
        return max(self._end - time.monotonic(), 1e-6)


class Silence:
    """A limit for each wait of its own; None is no limit: a quiet log may stay quiet for ever."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: Optional[float]) -> None:
        self._seconds = seconds

    def left(self) -> Optional[float]:
        """The same for each wait."""
        return self._seconds
