"""How a stream for a viewer ends; what produces one has `next(timeout)` and `close()`, as the api asks of it."""

from __future__ import annotations

from typing import Final

__all__ = ["FAILED", "NORMAL", "Ended", "TooMany"]

NORMAL: Final = 1000  # WebSocket close codes (RFC 6455 section 7.4.1)
FAILED: Final = 1011


class Ended(Exception):
    """The stream's proper end: nothing more will come. `code` says whether it ended well."""

    def __init__(self, reason: str = "", code: int = NORMAL) -> None:
        super().__init__(reason)
        self.reason: Final = reason
        self.code: Final = code


class TooMany(Exception):
    """A cap on what runs at the same time is reached; to come back later helps."""
