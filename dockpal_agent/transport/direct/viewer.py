"""The one loop between a message stream and its viewer, WebSocket or SSE.

One thread serves a viewer: it waits for the next message (for `poll` seconds at most), sends it, looks whether the
viewer said or left anything, and so on. A TLS connection must not be read by one thread and written by another without
a lock, and a lock would let a stalled reader hold the writer; here both are one thread's. What that costs: a silent
viewer wakes its thread twice a second (some 50 µs each), a viewer's leaving or ping is noticed after 0.5 s at
most. While the viewer speaks, the wait is short, so that a conversation does not crawl.

Back-pressure comes by itself: while a viewer does not take a message, `next` is not called, and after `send` seconds
the viewer is dropped. What a stream does with messages that pile up meanwhile is the producer's matter.
"""

from __future__ import annotations

import json
import logging
from typing import Callable, Final, Protocol, Union

from dockpal_agent.api.messages import End, Message, MessageStream

__all__ = ["Viewer", "ViewerGone", "as_text", "relay"]

log = logging.getLogger(__name__)

QUICK: Final = 0.01  # seconds to wait for a message while the viewer speaks

GOING_AWAY: Final = 1001  # close codes of RFC 6455 section 7.4.1
INTERNAL_ERROR: Final = 1011


class ViewerGone(Exception):
    """The viewer closed, left, or was dropped; the text says which."""


class Viewer(Protocol):
    """The far end of a stream. Every method raises ViewerGone, or OSError (the connection broke, was too slow)."""

    def send(self, message: Message) -> None:
        """Send one message; it is on its way when this returns."""

    def listen(self) -> bool:
        """Take what the viewer said, without waiting; whether there was anything."""

    def close(self, code: int, reason: str) -> None:
        """Say that nothing more comes, and why."""


def relay(stream: MessageStream, viewer: Viewer, *, poll: float, stopping: Callable[[], bool]) -> None:
    """Send all of `stream` to `viewer`, until either ends or `stopping`; the stream is closed then, in any case."""
    try:
        code, reason = _relay(stream, viewer, poll, stopping)
        viewer.close(code, reason)
    except ViewerGone as gone:
        log.debug("viewer: %s", gone)
    except TimeoutError:
        log.info("viewer dropped: it did not take its messages in time")
    except OSError as error:
        log.debug("viewer left: %s", error)
    finally:
        stream.close()


def _relay(stream: MessageStream, viewer: Viewer, poll: float, stopping: Callable[[], bool]) -> tuple[int, str]:
    """Send messages until the stream ends; the close code and reason that say how."""
    wait = QUICK
    while not stopping():
        wait = QUICK if viewer.listen() else min(wait * 2, poll)
        try:
            message = stream.next(wait)
        except End as end:
            return end.code, end.reason
        except Exception as error:  # the boundary of a stream: what its producer raises ends this viewer only
            log.exception("message stream failed")
            return INTERNAL_ERROR, str(error) or type(error).__name__
        if message is not None:
            viewer.send(message)
    return GOING_AWAY, "the agent stops"


def as_text(message: Message) -> Union[str, bytes]:
    """JSON objects as compact text, ASCII only: a lone surrogate cannot break it. Text and bytes as they are."""
    if isinstance(message, (str, bytes)):
        return message
    return json.dumps(message, separators=(",", ":"))
