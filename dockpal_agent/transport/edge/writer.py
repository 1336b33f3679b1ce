"""The thread that writes one line: answers in order, pings and heartbeats when they are due, the close frame last."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Callable, Final

from dockpal_agent.transport.edge.connection import Connection
from dockpal_agent.transport.edge.errors import LineError
from dockpal_agent.transport.edge.outbox import Closing, Outbox, Outgoing, Pong

__all__ = ["Writer"]

log = logging.getLogger(__name__)


class Writer:
    """Owned by the line's thread, which starts it and waits for its end.

    `due` is called with the time (monotonic) whenever something may be due, and says when to call it next: the answers
    that are owed in time are said from here, because nothing can be said while this thread is held up anyway.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        *,
        heartbeat: float,
        version: str,
        due: Callable[[float], float],
        beat: Callable[[], None],
        close_within: float,
    ) -> None:
        self._connection: Final = connection
        self._outbox: Final = outbox
        self._interval: Final = heartbeat
        self._message: Final = json.dumps({"type": "heartbeat", "version": version}).encode("ascii")
        self._due: Final = due
        self._beat: Final = beat
        self._close_within: Final = close_within
        self._next_beat = time.monotonic() + heartbeat
        self._thread = threading.Thread(target=self._run, name="edge-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, within: float) -> bool:
        """Whether the thread has ended within so many seconds."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except LineError as error:
            self._connection.abort(error)
        except Exception as error:  # the boundary of the thread: the line ends, and with it the silence
            log.exception("edge line: the writer failed")
            self._connection.abort(LineError(f"the agent could not write: {error}"))
        finally:
            self._outbox.close()

    def _step(self) -> bool:
        """Write one item, or what is due; False after the close frame."""
        now = time.monotonic()
        wake = min(self._due(now), self._next_beat)
        item = self._outbox.take(max(0.0, wake - now))
        if isinstance(item, Outgoing):
            try:
                self._connection.send_text(item.data, between=self._between)
            finally:
                if item.sent is not None:
                    item.sent.set()
        elif isinstance(item, Pong):
            self._connection.send_pong(item.payload)
        elif isinstance(item, Closing):
            self._connection.send_close(item.code, self._close_within)
            return False
        if time.monotonic() >= self._next_beat:
            self._ping()
            self._connection.send_text(self._message, between=self._between)
        return True

    def _between(self) -> None:
        """Between two fragments of a long message only control frames may go (RFC 6455 section 5.4)."""
        pong = self._outbox.take_pong()
        if pong is not None:
            self._connection.send_pong(pong.payload)
        if time.monotonic() >= self._next_beat:
            self._ping()

    def _ping(self) -> None:
        self._next_beat = time.monotonic() + self._interval
        self._connection.send_ping()
        self._beat()
