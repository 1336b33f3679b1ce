"""Who may call: the bearer token, compared in constant time, and patience with those who guess."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from typing import Callable, Final, Optional

from dockpal_agent.api.errors import Unauthorized
from dockpal_agent.api.messages import Request

__all__ = ["Guard"]

MISSING: Final = "missing authorization"
INVALID: Final = "invalid token"
FREE_TRIES: Final = 3  # wrong tokens from one address before answers to it are slowed down
FIRST_DELAY: Final = 0.25  # seconds; doubled with each further wrong token
LONGEST_DELAY: Final = 5.0
FORGIVEN_AFTER: Final = 300.0  # seconds without a wrong token
ADDRESSES: Final = 1024  # remembered at once, the least recent goes first
HELD: Final = 32  # answers delayed at once: guessing must not use up the connections of others


class Guard:
    """Checks tokens. A wrong one from an address that sent wrong ones before is answered late; a right one never is."""

    def __init__(
        self,
        tokens: tuple[str, ...],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tokens = tuple(token.encode() for token in tokens)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()  # guards _wrong
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # address -> wrong tokens, time of the last
        self._places = threading.BoundedSemaphore(HELD)

    def check(self, request: Request, *, in_query: bool) -> None:
        """Raise Unauthorized unless `request` carries the token; `in_query` lets `?token=` count (upgrades)."""
        given = _bearer(request.headers.get("authorization"))
        if given is None and in_query:
            given = request.query.get("token") or None
        if given is None:
            raise Unauthorized(MISSING)
        if self._is_right(given):
            return
        self._make_wait(request.peer)
        raise Unauthorized(INVALID)

    def _is_right(self, given: str) -> bool:
        raw = given.encode("utf-8", "surrogateescape")
        right = False
        for token in self._tokens:  # all of them, so that time does not tell which one was near
            right |= hmac.compare_digest(raw, token)
        return right

    def _make_wait(self, address: str) -> None:
        delay = self._note_wrong(address)
        if delay > 0 and self._places.acquire(blocking=False):
            try:
                self._sleep(delay)
            finally:
                self._places.release()

    def _note_wrong(self, address: str) -> float:
        """Count a wrong token of `address` and return how many seconds its answer waits."""
        now = self._clock()
        with self._lock:
            count, last = self._wrong.pop(address, (0, now))
            count = 1 if now - last > FORGIVEN_AFTER else count + 1
            self._wrong[address] = (count, now)
            if len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)
        if count <= FREE_TRIES:
            return 0.0
        return min(LONGEST_DELAY, FIRST_DELAY * float(2 ** min(count - FREE_TRIES - 1, 16)))


def _bearer(field: Optional[str]) -> Optional[str]:
    """The token of an Authorization field (RFC 6750 section 2.1; the scheme in any case), None when there is none."""
    if field is None:
        return None
    scheme, _, token = field.strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None
