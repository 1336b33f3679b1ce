"""The feed of updates (protocol 5.3): every stage of every attempt and every skip, to all who watch.

A viewer first gets the last event of each attempt that runs. One who does not take what comes is dropped, so that
nobody waits for it: its view ends after what it had, and a client connects again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Final, Optional

from dockpal_agent.apps.record import Record
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.compose.deployevents import TooManyViewers

__all__ = ["UpdateFeed", "View"]

MOST_VIEWERS: Final = 128
MOST_WAITING: Final = 64  # events that a viewer may be behind

Event = dict[str, Any]  # AppUpdateEvent


class UpdateFeed:
    """Where events are told and watched."""

    def __init__(self, *, most_viewers: int = MOST_VIEWERS, now: Callable[[], float] = time.time) -> None:
        self._most_viewers: Final = most_viewers
        self._now: Final = now
        self._lock = threading.Lock()  # guards the three that follow
        self._running: dict[str, Event] = {}  # the last event of each attempt without an end, by attempt id
        self._views: set[View] = set()
        self._closed = False

    def tell(self, record: Record) -> None:
        """An attempt is at the stage that its record says."""
        event = _event(record.attempt_id, record.app, record.stage, record.error_code, record.message)
        event["at"] = record.updated_at
        with self._lock:
            self._running.pop(record.attempt_id, None)
            if not record.ended:
                self._running[record.attempt_id] = event
            self._spread(event)

    def skipped(self, app: str, error_code: ErrorCode, message: str) -> None:
        """An automatic attempt was not begun; there is no record of it."""
        event = _event("", app, Stage.PENDING, error_code, message)
        event["at"] = int(self._now() * 1e6)
        with self._lock:
            self._spread(event)

    def open(self) -> View:
        """Watch from now on. Raises TooManyViewers."""
        with self._lock:
            if len(self._views) >= self._most_viewers:
                raise TooManyViewers(f"{len(self._views)} viewers watch updates already; try again later")
            view = View(self._running.values(), self._left)
            if self._closed:
                view.end()
            else:
                self._views.add(view)
            return view

    def close(self) -> None:
        """End all views: the agent stops."""
        with self._lock:
            self._closed = True
            for view in self._views:
                view.end()
            self._views.clear()

    def _spread(self, event: Event) -> None:
        """Give it to all viewers; who is too far behind is dropped. The lock is held."""
        for view in [view for view in self._views if not view.take(event)]:
            self._views.discard(view)

    def _left(self, view: View) -> None:
        with self._lock:
            self._views.discard(view)


class View:
    """One viewer's events; api.messages.MessageStream, but that the end is an EOFError."""

    def __init__(self, first: Any, left: Callable[[View], None]) -> None:
        self._left: Final = left
        self._changed = threading.Condition()  # guards the two that follow; taken after the feed's lock
        self._waiting: deque[Event] = deque(first)
        self._ended = False

    def next(self, timeout: float) -> Optional[Event]:
        """The next event, None when none came in time. Raises EOFError at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout)
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                raise EOFError
            return None

    def close(self) -> None:
        """Leave; what was not taken is dropped."""
        self._left(self)
        with self._changed:
            self._waiting.clear()
            self._ended = True
            self._changed.notify_all()

    def take(self, event: Event) -> bool:
        """Have one more event wait; False where too many do: nothing more will come then."""
        with self._changed:
            if len(self._waiting) < MOST_WAITING and not self._ended:
                self._waiting.append(event)
            else:
                self._ended = True
            self._changed.notify_all()
            return not self._ended

    def end(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _event(attempt_id: str, app: str, stage: Stage, error_code: Optional[ErrorCode], message: str) -> Event:
    event: Event = {"attempt_id": attempt_id, "instance_id": "", "app": app, "stage": stage.value}
    if error_code is not None:
        event["error_code"] = error_code.value
    if message:
        event["message"] = message
    return event
