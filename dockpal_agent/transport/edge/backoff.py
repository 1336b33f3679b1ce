"""When to dial next: full jitter under a growing limit, never more than the Server lets one address try.

Pure: the clock and the source of randomness come from outside, so that a fleet of thousands can be simulated.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final, Optional

__all__ = ["LIMIT", "SLOW", "TRIES", "WINDOW", "Backoff"]

LIMIT: Final = 60.0  # seconds; the limit that the jitter is drawn under stops growing here
SLOW: Final = (60.0, 120.0)  # seconds; after 4001, which only a person can heal
TRIES: Final = 5  # dials within WINDOW; the Server's limit for an address (protocol 7.1)
WINDOW: Final = 61.0  # seconds; the Server's minute, and a second for what the network may shift
RETRY_AFTER_LIMIT: Final = 3600.0  # seconds; a longer one is taken for a mistake


class Backoff:
    """The delays of one line. Not for several threads: the line's own thread asks.

    The first delay after a reset is drawn from 0 to `base` seconds, the next from 0 to twice that, up to LIMIT (full
    jitter: of all forms it spreads a fleet best). `base` above LIMIT is kept as it is: its owner asked for it.
    """

    def __init__(self, base: float, source: Optional[random.Random] = None) -> None:
        self._base: Final = base
        self._limit: Final = max(LIMIT, base)
        self._random: Final = source or random.Random()  # jitter, not a secret
        self._losses = 0
        self._dials: deque[float] = deque(maxlen=TRIES)

    def dialed(self, now: float) -> None:
        """A dial begins; the Server counts it whether it succeeds or not."""
        self._dials.append(now)

    def served(self) -> None:
        """A request came: the next loss starts from the beginning."""
        self._losses = 0

    def delay(self, now: float, *, retry_after: Optional[float] = None, slow: bool = False) -> float:
        """Seconds from `now` until the next dial, after a loss.

        Retry-After is waited out, and the jitter comes on top: all that were refused together were told the same.
        """
        limit = min(self._limit, self._base * 2.0 ** min(self._losses, 32))
        self._losses += 1
        delay = self._random.uniform(*SLOW) if slow else self._random.uniform(0.0, limit)
        if retry_after is not None:
            delay += min(retry_after, RETRY_AFTER_LIMIT)
        if len(self._dials) == TRIES:
            delay = max(delay, self._dials[0] + WINDOW - now)
        return delay
