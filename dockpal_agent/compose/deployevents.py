"""The events of deploys (protocol 4): told as they happen, kept on disk for a day, given to viewers from the first.

state/deploys/<id>.jsonl: a line that says whose it is, then one line for each event. The last one is `complete`, or has
the status `error`; a file that ends otherwise belongs to a deploy that runs, or that the agent's end interrupted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Optional

from dockpal_agent.compose.options import DONE, ERROR, RUNNING
from dockpal_agent.storage import make_private_directory

__all__ = ["COMPLETE", "DeployRecord", "DeployRecords", "NoSuchDeploy", "TooManyViewers", "View"]

log = logging.getLogger(__name__)

COMPLETE: Final = "complete"
KEPT_FOR: Final = 86400.0  # seconds after the last event
MOST_RECORDS: Final = 500
MOST_EVENTS: Final = 5000  # of one deploy; past it, what is merely under way is left out
MOST_VIEWERS: Final = 128
LONGEST_MESSAGE: Final = 24_000  # bytes as JSON; the Server's limit for a whole message is 32,768
BURST: Final = 40  # events at once; the Server buffers 50 and drops what does not fit
PER_SECOND: Final = 50.0  # events after that
PART_POLL: Final = 0.02  # seconds between two looks whether all viewers have left

_ID: Final = re.compile(r"deploy-[0-9a-f]{16}")

Event = dict[str, Any]


class NoSuchDeploy(Exception):
    """No deploy has this id, or its day is over."""


class TooManyViewers(Exception):
    """As many viewers watch as may."""


class DeployRecord:
    """What one deploy has said. One deploy writes it, any number of viewers read."""

    def __init__(self, deploy_id: str, project: str, name: str, path: Path, events: list[Event]) -> None:
        self.deploy_id: Final = deploy_id
        self.project: Final = project
        self.name: Final = name
        self._path: Final = path
        self._changed: Final = threading.Condition()  # guards all below
        self._events: Final = events
        self._parting: Optional[tuple[int, Event]] = None  # after how many events viewers are left, and with which word
        self._file: Optional[IO[str]] = None
        self._on_disk = True
        self._ended = _is_end(events[-1]) if events else False

    @property
    def ended(self) -> bool:
        """Whether the last event was said."""
        return self._ended

    @property
    def on_disk(self) -> bool:
        """Whether all that was said is in the file."""
        return self._on_disk

    def said(self, step: str) -> bool:
        """Whether the deploy has come to this step."""
        with self._changed:
            return any(event.get("step") == step for event in self._events)

    def say(self, step: str, message: str, status: str = RUNNING) -> None:
        """Tell an event. After the last one, and past the cap, what is merely under way is dropped. Never raises."""
        event = _event(step, message, status)
        with self._changed:
            if self._ended or (len(self._events) >= MOST_EVENTS and not _is_end(event)):
                return
            self._events.append(event)
            self._ended = _is_end(event)
            self._write(event)
            self._changed.notify_all()

    def begin(self) -> None:
        """Open the file. What cannot be written is kept in memory alone, and logged."""
        with self._changed:
            try:
                make_private_directory(self._path.parent)
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self._file = open(descriptor, "a", encoding="ascii")  # noqa: SIM115  closed with the last event
                if not self._events and self._file.tell() == 0:
                    head = {"deploy_id": self.deploy_id, "project": self.project, "name": self.name}
                    self._file.write(json.dumps(head) + "\n")
                    self._file.flush()
            except OSError as error:
                self._lose(error)

    def part(self, message: str) -> None:
        """Leave the viewers of a deploy that goes on: this error is the last that they hear. It is kept nowhere."""
        with self._changed:
            if not self._ended and self._parting is None:
                self._parting = len(self._events), _event("create", message, ERROR)
                self._changed.notify_all()

    def after(self, seen: int, timeout: float, stop: threading.Event) -> tuple[Optional[Event], bool]:
        """(event number `seen`, None when it is not there in time; whether all are seen and no more will come)."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._events) > seen or self._ended or self._parting or stop.is_set(), timeout
            )
            if self._parting is not None and seen >= self._parting[0]:
                return (self._parting[1], False) if seen == self._parting[0] else (None, True)
            if seen < len(self._events):
                return self._events[seen], False
            return None, self._ended

    def close(self) -> None:
        """Close the file; nothing more will be said."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _write(self, event: Event) -> None:
        """A line of the file; the last one is made durable. The lock is held."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
            if self._ended:
                os.fsync(self._file.fileno())
                self._file.close()
                self._file = None
        except OSError as error:  # disk full: the deploy is more important than what it says
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """The file takes no more. The lock is held."""
        log.warning("%s: its events cannot be kept: %s", self.deploy_id, error.strerror)
        self._on_disk = False
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None


class DeployRecords:
    """All deploys of the last day: those that run in memory, the others on disk."""

    def __init__(self, directory: Path, *, kept_for: float = KEPT_FOR, most_viewers: int = MOST_VIEWERS) -> None:
        self._directory: Final = directory
        self._kept_for: Final = kept_for
        self._most_viewers: Final = most_viewers
        self._lock = threading.Lock()  # guards all below
        self._running: dict[str, DeployRecord] = {}
        self._interrupted: list[DeployRecord] = []
        self._viewers = 0
        self._parting = ""

    def new(self, project: str, name: str) -> DeployRecord:
        """The record of a deploy that begins; what is too old is removed."""
        self.purge()
        deploy_id = f"deploy-{secrets.token_hex(8)}"
        record = DeployRecord(deploy_id, project, name, self._path(deploy_id), [])
        with self._lock:
            self._running[deploy_id] = record
        record.begin()
        return record

    def discard(self, record: DeployRecord) -> None:
        """There will be no such deploy: it joined another, or was refused."""
        with self._lock:
            self._running.pop(record.deploy_id, None)
        record.close()
        with contextlib.suppress(OSError):
            self._path(record.deploy_id).unlink()

    def release(self, record: DeployRecord) -> None:
        """The deploy is over: its events are read from disk from now on; in memory they stay where disk has not all."""
        kept = record.on_disk
        with self._lock:
            self._interrupted = [each for each in self._interrupted if each is not record]
            if kept:
                self._running.pop(record.deploy_id, None)
            ended = [key for key, each in self._running.items() if each.ended]
            for key in ended[:-MOST_RECORDS]:
                del self._running[key]

    def interrupted(self) -> list[DeployRecord]:
        """The records without an end of deploys that do not run: those of an agent that was killed.

        From the first call on, their viewers wait for the end that they are still to get.
        """
        for path in self._files():
            with self._lock:
                if path.stem in self._running:
                    continue
            record = self._read(path.stem)
            if record is not None and not record.ended:
                record.begin()
                with self._lock:
                    self._running[record.deploy_id] = record
                    self._interrupted.append(record)
        with self._lock:
            return [record for record in self._interrupted if not record.ended]

    def open(self, deploy_id: str) -> View:
        """Watch a deploy from its first event. Raises NoSuchDeploy, TooManyViewers."""
        with self._lock:
            record = self._running.get(deploy_id)
        if record is None:
            record = self._read(deploy_id)
        if record is None:
            raise NoSuchDeploy("session not found")
        with self._lock:
            if self._viewers >= self._most_viewers:
                raise TooManyViewers(f"{self._viewers} viewers watch deploys already; try again later")
            self._viewers += 1
            parting = self._parting
        if parting:
            record.part(parting)
        return View(record, self._left)

    def part(self, message: str, within: float) -> None:
        """Tell the viewers of deploys that go on that nothing more is told, and wait until they have heard it."""
        with self._lock:
            self._parting = message
            running = [*self._running.values()]
        for record in running:
            record.part(message)
        until = time.monotonic() + within
        while self._viewers and time.monotonic() < until:
            time.sleep(PART_POLL)

    def purge(self) -> None:
        """Remove the records whose day is over, and the oldest past the cap."""
        files = sorted(((_changed_at(path), path) for path in self._files()), reverse=True)
        since = time.time() - self._kept_for
        with self._lock:
            running = set(self._running)
        for number, (at, path) in enumerate(files):
            if (at < since or number >= MOST_RECORDS) and path.stem not in running:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _left(self) -> None:
        with self._lock:
            self._viewers -= 1

    def _path(self, deploy_id: str) -> Path:
        return self._directory / f"{deploy_id}.jsonl"

    def _files(self) -> Iterator[Path]:
        try:
            yield from [path for path in self._directory.iterdir() if _ID.fullmatch(path.stem)]
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("the records of deploys in %s cannot be read: %s", self._directory, error.strerror)

    def _read(self, deploy_id: str) -> Optional[DeployRecord]:
        """A record from disk. A last line that a kill cut off is cut off the file, too."""
        path = self._path(deploy_id)
        if not _ID.fullmatch(deploy_id) or _changed_at(path) < time.time() - self._kept_for:
            return None
        try:
            lines = path.read_bytes().split(b"\n")
            if lines[-1]:
                os.truncate(path, sum(len(line) + 1 for line in lines[:-1]))
            head, *events = [json.loads(line) for line in lines[:-1]]
            return DeployRecord(deploy_id, str(head["project"]), str(head["name"]), path, events)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the record %s cannot be read: %r", path.name, error)
            return None


@dataclass(eq=False)
class _Pace:
    """How many events may go: a burst, then so many a second. A slow reader gains no more than another burst."""

    left: float = BURST
    at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next event may go; 0 takes its place."""
        self.left = min(BURST, self.left + (now - self.at) * PER_SECOND) if self.at else BURST
        self.at = now
        if self.left >= 1.0:
            self.left -= 1.0
            return 0.0
        return (1.0 - self.left) / PER_SECOND


class View:
    """One viewer's place among the events; api.messages.MessageStream, but that the end is an EOFError."""

    def __init__(self, record: DeployRecord, left: Any) -> None:
        self._record: Final = record
        self._left: Final = left
        self._seen = 0
        self._pace = _Pace()
        self._held: Optional[Event] = None
        self._closed = threading.Event()
        self._lock = threading.Lock()  # guards the closing

    def next(self, timeout: float) -> Optional[Event]:
        """The next event, None when none came in time, or when it has to wait for its turn. Raises EOFError."""
        until = time.monotonic() + timeout
        if self._held is None and not self._closed.is_set():
            event, over = self._record.after(self._seen, timeout, self._closed)
            if over:
                raise EOFError
            if event is not None:
                self._seen += 1
                self._held = event
        if self._closed.is_set():
            raise EOFError
        if self._held is None:
            return None
        wait = self._pace.wait(time.monotonic())
        while wait > 0:
            if time.monotonic() + wait > until or self._closed.wait(wait):
                return None
            wait = self._pace.wait(time.monotonic())
        event, self._held = self._held, None
        return event

    def close(self) -> None:
        """Leave; the deploy goes on."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self._left()
        self._record.wake()


def _event(step: str, message: str, status: str) -> Event:
    return {"step": step, "message": _fitting(message), "status": status, "time": time.strftime("%H:%M:%S")}


def _is_end(event: Event) -> bool:
    return (event.get("step") == COMPLETE and event.get("status") == DONE) or event.get("status") == ERROR


def _fitting(message: str) -> str:
    """The message, cut where it would be too long for the Server."""
    if len(json.dumps(message)) <= LONGEST_MESSAGE:
        return message
    size = 0
    for place, character in enumerate(message):
        size += len(json.dumps(character)) - 2
        if size > LONGEST_MESSAGE - 10:
            return message[:place] + " …"
    return message


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
