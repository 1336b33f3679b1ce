"""Streams of messages, as the line carries them: a log whole and at once, a deploy's events one request at a time.

A deploy is followed by one GET after the other (protocol 7.2). Between them its stream is kept here; with the line it
ends, since a Server that lost the line has given the deploy up, and who asks anew gets the events from the beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional

from dockpal_agent.api.messages import End, Message, MessageStream
from dockpal_agent.transport.edge.envelope import Answer
from dockpal_agent.transport.edge.limits import Limits

__all__ = ["SIGN_OF_LIFE", "DeployStreams", "collect"]

log = logging.getLogger(__name__)

SIGN_OF_LIFE: Final = Answer(200, stream=True, chunk=1, data="")  # shows nothing, and starts the Server's 60 s anew


class _Followed:
    """One stream and what its events have said. Guarded by its own lock, as one request after the other takes it."""

    def __init__(self, stream: MessageStream) -> None:
        self.lock = threading.Lock()
        self.stream: Final = stream
        self.used = time.monotonic()
        self._chunk = 0
        self._complete = False
        self._error = ""

    def next(self, within: float) -> Optional[Answer]:
        """The next event, or a sign of life after `within` seconds; None once the stream is over."""
        try:
            message = self.stream.next(within)
        except End:
            return None
        self._chunk += 1
        return Answer(200, stream=True, chunk=self._chunk, data="" if message is None else self._tell(message))

    def end(self) -> Answer:
        """The end. Only `complete` is success: a deploy that ended without a word is not recorded as deployed."""
        if self._complete:
            return Answer(200, b'{"status":"deployed"}', data="")
        reason = self._error or "the deploy ended without saying how"
        return Answer.of(500, {"error": reason}, data=reason)

    def _tell(self, message: Message) -> str:
        """Plain text of an event: the Server shows it as it is, without step, status or time (2, DeployEvent)."""
        if not isinstance(message, Mapping):
            return message if isinstance(message, str) else message.decode("utf-8", "replace")
        step, status, text = (str(message.get(name) or "") for name in ("step", "status", "message"))
        if status == "error" and step != "hint":
            self._error = text or f"{step} failed"
            return f"error: {self._error}"
        if step == "complete" and status == "done":
            self._complete = True
        return text or step


class DeployStreams:
    """The deploys that one line follows, by path; capped, and let go when nobody asks any more."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Final = limits
        self._lock = threading.Lock()  # guards _followed and _closed
        self._followed: dict[str, _Followed] = {}
        self._closed = False

    def next(self, target: str, within: float) -> Optional[Answer]:
        """The next answer of a stream that is followed already, the end included; None where `target` is unknown."""
        with self._lock:
            followed = self._followed.get(target)
        if followed is None:
            return None
        try:
            with followed.lock:
                followed.used = time.monotonic()
                answer = followed.next(within)
                followed.used = time.monotonic()
        except BaseException:
            self._forget(target, followed)
            raise
        if answer is not None:
            return answer
        self._forget(target, followed)
        return followed.end()

    def follow(self, target: str, open_stream: Callable[[], MessageStream]) -> bool:
        """Open a stream and keep it; False when too many are followed. Raises what `open_stream` raises."""
        self._let_go_of_the_forgotten()
        with self._lock:
            if self._closed or len(self._followed) >= self._limits.streams:
                return False
        followed = _Followed(open_stream())
        with self._lock:
            kept = not self._closed and self._followed.setdefault(target, followed) is followed
        if not kept:
            followed.stream.close()  # another request for the same was faster, or the line has ended
        return True

    def close(self) -> None:
        """The line has ended."""
        with self._lock:
            self._closed = True
            ended = list(self._followed.values())
            self._followed.clear()
        for followed in ended:
            followed.stream.close()

    def _forget(self, target: str, followed: _Followed) -> None:
        with self._lock:
            if self._followed.get(target) is followed:
                del self._followed[target]
        followed.stream.close()

    def _let_go_of_the_forgotten(self) -> None:
        since = time.monotonic() - self._limits.stream_idle
        with self._lock:
            forgotten = [(target, followed) for target, followed in self._followed.items() if followed.used < since]
        for target, followed in forgotten:
            self._forget(target, followed)


def collect(stream: MessageStream, within: float, limit: int) -> Answer:
    """Read a stream to its end, for `within` seconds at most: its text as one JSON string, in body and data.

    Of text, the last `limit` bytes count, and whole lines of them. A stream of objects is answered with the first one.
    """
    until = time.monotonic() + within
    text = bytearray()
    cut = False
    try:
        while True:
            left = until - time.monotonic()
            message = stream.next(left) if left > 0 else None
            if message is None:
                break
            if isinstance(message, Mapping):
                return Answer.of(200, dict[str, Any](message))
            text += message.encode("utf-8", "replace") if isinstance(message, str) else message
            if len(text) > 2 * limit:
                del text[:-limit]
                cut = True
    except End:
        pass  # the whole of it was read
    finally:
        stream.close()
    if cut or len(text) > limit:
        del text[:-limit]
        del text[: text.find(b"\n") + 1]
    shown = text.decode("utf-8", "replace")
    return Answer.of(200, shown, data=shown)
