"""Docker's own events, read by one thread for everybody who learns from them.

    feed = EventFeed(engine)
    forget = feed.subscribe(on_event, on_gap)
    feed.start()

After a gap (the first connection, or the daemon was away) what had been learned before may not be true any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Final, Optional

from dockpal_agent.containers.moments import unix_text
from dockpal_agent.engine import Cancel, Engine, EngineCancelled, EngineError, EngineRefused, EngineUnavailable, events

__all__ = ["Event", "EventFeed"]

log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.1  # seconds until the first attempt after a loss; doubles
LONGEST_DELAY: Final = 1.0  # seconds: all is to be well within 2 s of Docker being back
REFUSED_DELAY: Final = 30.0  # seconds: a socket proxy that denies events will not change its mind soon

# What somebody here learns from. Without this, every health check of every container would wake the agent three times
# (exec_create, exec_start, exec_die). `died` and `remove` are Podman's words, which it filters by before it translates.
ACTIONS: Final = (
    *("create", "start", "restart", "stop", "die", "died", "kill", "oom", "destroy", "remove"),
    *("pause", "unpause", "rename", "update", "health_status"),
    *("pull", "tag", "untag", "delete", "load", "import"),
)
_FILTERS: Final = {"type": ["container", "image"], "event": list(ACTIONS)}


@dataclass(frozen=True)
class Event:
    """One event. `kind` is Docker's Type (container, image), `action` its Action without what follows a colon, which is
    `detail` (`health_status: healthy`), `id` the full id of a container, or an image's id or reference.
    """

    kind: str
    action: str
    id: str
    detail: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int = 0


OnEvent = Callable[[Event], None]
OnGap = Callable[[], None]


class EventFeed:
    """Reads GET /events until stopped, and again from the beginning when the daemon was away."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine
        self._lock = threading.Lock()  # guards _subscribers and _thread
        self._subscribers: tuple[tuple[OnEvent, Optional[OnGap]], ...] = ()
        self._thread: Optional[threading.Thread] = None
        self._cancel = Cancel()
        self._connected = threading.Event()

    @property
    def connected(self) -> bool:
        """Whether every change is heard of at this moment."""
        return self._connected.is_set()

    def wait_connected(self, seconds: float) -> bool:
        """Wait until it is connected, at most `seconds`; whether it is."""
        return self._connected.wait(seconds)

    def subscribe(self, on_event: OnEvent, on_gap: Optional[OnGap] = None) -> Callable[[], None]:
        """Have `on_event` called for each event, and `on_gap` whenever the stream begins anew, before its events.

        Both are called by the feed's thread and must neither wait nor raise. Returns what ends the subscription.
        """
        entry = (on_event, on_gap)
        with self._lock:
            self._subscribers = (*self._subscribers, entry)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not entry)

        return unsubscribe

    def start(self) -> None:
        """Start the thread; once, before or while the daemon is there."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, at once, and wait for it."""
        self._cancel.cancel()
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)

    def _run(self) -> None:
        delay = FIRST_DELAY
        told = False  # the first failure in a row is worth a line
        while not self._cancel.cancelled:
            try:
                self._read()
                failure: Optional[EngineError] = None
            except EngineCancelled:
                return
            except EngineError as error:
                failure = error
            was_connected = self._connected.is_set()
            self._connected.clear()
            if was_connected:
                delay, told = FIRST_DELAY, False
            if not told and not self._cancel.cancelled:
                log.warning("docker events: lost, trying again (%s)", failure or "the daemon ended the stream")
                told = True
            refused = isinstance(failure, EngineRefused)
            self._cancel.wait(REFUSED_DELAY if refused else delay)
            delay = min(delay * 2, LONGEST_DELAY) if isinstance(failure, EngineUnavailable) else LONGEST_DELAY

    def _read(self) -> None:
        """One stream, to its end. Raises EngineError.

        The daemon sends the header before it subscribes us: `since` closes the gap between the two.
        """
        since = unix_text(time.time_ns())
        with events.subscribe(self._engine, since=since, filters=_FILTERS, cancel=self._cancel) as stream:
            self._tell_gap()
            self._connected.set()
            log.debug("docker events: connected")
            for value in stream.json_lines():
                event = _event(value)
                if event is not None:
                    self._tell(event)

    def _tell_gap(self) -> None:
        for _, on_gap in self._subscribers:
            if on_gap is not None:
                _call(on_gap)

    def _tell(self, event: Event) -> None:
        for on_event, _ in self._subscribers:
            _call(on_event, event)


def _call(subscriber: Callable[..., None], *arguments: Event) -> None:
    try:
        subscriber(*arguments)
    except Exception:  # the boundary of a thread: one subscriber's mistake must not end the feed for the others
        log.exception("docker events: a subscriber failed")


def _event(value: Any) -> Optional[Event]:
    """An event from Docker's JSON; None for what is none of the shape."""
    if not isinstance(value, dict) or not isinstance(value.get("Actor"), dict):
        return None
    actor = value["Actor"]
    action, _, detail = str(value.get("Action") or "").partition(":")
    attributes = actor.get("Attributes")
    time_ns = value.get("timeNano")
    return Event(
        kind=str(value.get("Type") or ""),
        action=action.strip(),
        id=str(actor.get("ID") or ""),
        detail=detail.strip(),
        attributes=attributes if isinstance(attributes, dict) else {},
        time_ns=time_ns if isinstance(time_ns, int) else 0,
    )
