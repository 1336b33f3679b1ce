"""A container's log for one viewer: through restarts, until it is removed or the viewer leaves.

    log = Logs(engine, feed).open("web", LogOptions(tail=100))
    log.next(timeout), log.next(timeout), …, log.close()

A thread reads the Engine's stream and waits while the viewer does not take: the daemon then waits as well, and what is
held here stays below HELD bytes. The daemon ends the stream when the container stops. It is opened again from the
last timestamp on when the container starts, so timestamps are always asked for, and taken off for most viewers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Optional, Union

from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.containers.logframes import MESSAGE_LIMIT, Frames, Lines, Record, Splitter, Text, frames, pieces
from dockpal_agent.containers.moments import parse_moment, unix_text
from dockpal_agent.containers.pipe import Pipe
from dockpal_agent.containers.streams import FAILED, Ended
from dockpal_agent.engine import (
    Cancel,
    Conflict,
    Engine,
    EngineBroken,
    EngineCancelled,
    EngineError,
    NotFound,
    Stream,
    containers,
)
from dockpal_agent.engine.frames import STDERR

__all__ = ["Log", "LogOptions", "Logs"]

log = logging.getLogger(__name__)

HELD: Final = 8 * MESSAGE_LIMIT  # bytes that wait for the viewer
FIRST_PAUSE: Final = 0.1  # seconds before a stream that ended is opened again, doubling while nothing comes
LONGEST_PAUSE: Final = 2.0  # seconds
LOOK: Final = 10.0  # seconds between looks at a stopped container, in case an event was missed
LOOK_WITHOUT_EVENTS: Final = 1.0  # seconds, while the event stream is down


@dataclass(frozen=True)
class LogOptions:
    """What to show: `tail` lines of the past (None: all), none older than `since_ns` (Unix nanoseconds), and with
    `follow` what comes. `plain` gives text for other clients than the Server, in the place of Docker's frames.
    """

    tail: Optional[int] = 100
    follow: bool = True
    since_ns: Optional[int] = None
    timestamps: bool = False
    plain: bool = False


class Logs:
    """Opens logs. `feed` tells of restarts and removals."""

    def __init__(self, engine: Engine, feed: EventFeed) -> None:
        self._engine: Final = engine
        self._feed: Final = feed

    def open(self, container: str, options: LogOptions) -> Log:
        """Begin to read a container's log. Raises NotFound, EngineError, before anything is shown."""
        found = containers.inspect(self._engine, container)
        shown = Log(self._engine, self._feed, found, options)
        shown.begin()
        return shown


class Log:
    """One viewer's log. One thread calls next(), any may call close()."""

    def __init__(self, engine: Engine, feed: EventFeed, found: dict[str, Any], options: LogOptions) -> None:
        self._engine: Final = engine
        self._feed: Final = feed
        self._container_id: Final = str(found.get("Id") or "")
        self._name: Final = name_of(found)
        self._tty: Final = bool((found.get("Config") or {}).get("Tty"))
        self._options: Final = options
        self._stamped: Final = options.follow or options.timestamps
        self._cancel: Final = Cancel()
        self._wake: Final = threading.Event()  # something happened to the container, or close() was called
        self._last_stamp = b""
        self._complete = False  # all was read that there was when the container stopped
        self._opened_ns = time.time_ns()
        self._text = Text()
        self._pipe = Pipe(MESSAGE_LIMIT, HELD)

    def begin(self) -> None:
        """Open the Engine's stream and start the thread. Raises EngineError."""
        stream = self._open_first(follow=self._options.follow)
        self._cancel.watch(self._wake.set)
        name = f"log-{self._container_id[:12]}"
        threading.Thread(target=self._run, args=(stream,), name=name, daemon=True).start()

    def next(self, timeout: float) -> Optional[Union[bytes, str]]:
        """The next message: bytes of whole frames, or text; None after `timeout` seconds. Raises Ended.

        Frames are bytes, a binary message: their headers are not UTF-8 (a length of 128 is the byte 0x80), so that as
        text they would be refused by any reader that obeys RFC 6455 section 8.1. The Server takes either.
        """
        message = self._pipe.take(timeout)
        return message.decode("utf-8") if self._options.plain and message is not None else message

    def close(self) -> None:
        """Let go of the Engine's stream, at once, from any thread."""
        self._pipe.close()
        self._cancel.cancel()

    def _run(self, first: Stream) -> None:
        try:
            unsubscribe = self._feed.subscribe(self._on_event, self._wake.set)
            try:
                end = self._follow(first)
            finally:
                unsubscribe()
        except EngineCancelled:
            end = Ended()
        except EngineError as error:
            log.info("container %s: log: %s", self._name, error)
            self._say(str(error))
            end = Ended("the log broke off", FAILED)
        except Exception:  # the boundary of a thread: a mistake of ours must not leave the viewer waiting for ever
            log.exception("container %s: log: failed unexpectedly", self._name)
            end = Ended("the agent failed on this log", FAILED)
        self._pipe.end(end)

    def _follow(self, first: Stream) -> Ended:
        """Pass on the stream and those that follow it. Raises EngineError, EngineCancelled."""
        stream: Optional[Stream] = first
        pause = FIRST_PAUSE
        while stream is not None:
            before, whole = self._last_stamp, False
            try:
                with stream:
                    self._pass_on(stream)
                whole = True
            except EngineBroken as error:
                if not self._options.follow:
                    raise
                log.info("container %s: log: opened again: %s", self._name, error)
            if not self._options.follow:
                return Ended("the log's end")
            pause = FIRST_PAUSE if self._last_stamp != before else min(pause * 2, LONGEST_PAUSE)
            if self._cancel.wait(pause):
                raise EngineCancelled("the viewer left")
            stream = self._reopen(whole)
        return Ended("the container was removed")

    def _reopen(self, whole: bool) -> Optional[Stream]:
        """The log again: what is left of it where the container has stopped, all that comes once it runs; None when it
        is gone. Raises EngineError, EngineCancelled.

        `whole` says that the last stream came to its proper end. Of a followed log that is the container's end, not
        the log's: Engine 20.10 may leave out the last lines then.
        """
        while not self._cancel.cancelled:
            self._wake.clear()
            try:
                state = containers.inspect(self._engine, self._container_id).get("State") or {}
                runs = bool(state.get("Running") and not state.get("Restarting"))
                if runs or not self._complete:
                    self._complete = not runs
                    return self._open_again(whole, follow=runs)
            except NotFound:
                return None
            except Conflict:  # it is being removed: the daemon gives its log no more
                pass
            self._wake.wait(LOOK if self._feed.connected else LOOK_WITHOUT_EVENTS)
        raise EngineCancelled("the viewer left")

    def _open_first(self, *, follow: bool) -> Stream:
        since = self._options.since_ns
        return self._open(self._options.tail, None if since is None else unix_text(since), follow=follow)

    def _open_again(self, whole: bool, *, follow: bool) -> Stream:
        """All that came after what was shown. Where nothing was, what counts is whether that was all there was."""
        moment = parse_moment(self._last_stamp.decode("ascii").strip())
        if moment is not None:
            return self._open(None, unix_text(moment + 1), follow=follow)
        if whole:
            return self._open(None, unix_text(self._opened_ns), follow=follow)
        return self._open_first(follow=follow)

    def _open(self, tail: Optional[int], since: Optional[str], *, follow: bool) -> Stream:
        return containers.logs(
            self._engine,
            self._container_id,
            follow=follow,
            tail=tail,
            since=since,
            timestamps=self._stamped,
            cancel=self._cancel,
        )

    def _pass_on(self, stream: Stream) -> None:
        """One stream to its end. Raises EngineError."""
        splitter: Splitter = Lines(self._stamped) if self._tty else Frames(self._stamped)
        for part in stream.chunks():
            self._show(splitter.feed(part))
        self._show(splitter.end())
        for channel, rest in self._text.end():
            self._put(channel, rest)

    def _show(self, records: Iterator[Record]) -> None:
        for record in records:
            payload = self._text.clean(record.channel, record.payload)
            if record.stamp:
                # the latest, not the last: the daemon reads stdout and stderr side by side
                self._last_stamp = max(self._last_stamp, record.stamp)
                if self._options.timestamps and record.begins:
                    payload = record.stamp + payload
            self._put(record.channel, payload)

    def _say(self, reason: str) -> None:
        """A line of our own, as the container's stderr: the viewer sees why nothing more comes."""
        text = f"dockpal-agent: {reason}\n".encode("utf-8", "replace")
        for piece in pieces(text) if self._options.plain else frames(STDERR, text):
            self._pipe.put(piece)

    def _put(self, channel: int, text: bytes) -> None:
        """Pass a text on. Raises EngineCancelled when the viewer left."""
        for piece in pieces(text) if self._options.plain else frames(channel, text):
            if not self._pipe.put(piece):
                raise EngineCancelled("the viewer left")

    def _on_event(self, event: Event) -> None:
        if event.id == self._container_id:
            self._wake.set()
