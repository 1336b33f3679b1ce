"""The records of update attempts (protocol 5.2): what each has come to, kept over the agent's end.

state/updates.jsonl has one line of JSON for each stage of each attempt, in the order in which they were told. A line
says all about its attempt but the events before it, so that a bad line costs itself only; `services` stand where they
changed. In memory are the newest record of each app and those without an end; the others are read when asked for.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Callable, Final, Optional

from dockpal_agent.apps.record import Line, Record, Services, StageEvent, line_of
from dockpal_agent.apps.record_file import MOST_RECORDS, RecordFile, full
from dockpal_agent.apps.stages import ENDS, ErrorCode, IllegalMove, Stage, check_move
from dockpal_agent.compose.names import normalise_project_name

__all__ = ["NoSuchAttempt", "Record", "Records", "RecordsFailed"]

log = logging.getLogger(__name__)

MOST_EVENTS: Final = 100  # of one attempt; past it, what repeats a stage is told and not kept
LONGEST_MESSAGE: Final = 4000  # characters
LONGEST_ID_NAME: Final = 80  # characters of an app's name in an attempt's id; it goes into a URL

_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9._-]+")


class NoSuchAttempt(Exception):
    """No record has this id, or it is too old to be kept."""


class RecordsFailed(Exception):
    """A record could not be written: the attempt must not begin, as nobody could tell later what became of it."""


class Records:
    """All records, written by those who update and read by anybody.

    `tell` is called after each stage, with the record as it is then. An app is known by either form of its name.
    """

    def __init__(
        self,
        path: Path,
        *,
        tell: Callable[[Record], None] = lambda record: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file: Final = RecordFile(path, _key)
        self._tell: Final = tell
        self._now: Final = now
        self._writing = threading.Lock()  # guards the file, and that lines and memory have the same order
        self._lock = threading.Lock()  # guards the four that follow; taken after the other one
        self._read = False
        self._unreadable = False  # the file could not be read then: there may be attempts that nobody knows of
        self._newest: OrderedDict[str, Record] = OrderedDict()  # by app; the one that began last is the last
        self._unfinished: dict[str, Record] = {}  # by attempt id, in the order of their beginning

    def begin(self, app_name: str, triggered_by: str, services: Services, message: str = "") -> Record:
        """The record of an attempt that begins: its stage is `pulling`. Raises RecordsFailed, with words."""
        with self._writing:
            self._ensure_read()
            try:
                record = self._first(app_name, triggered_by, services, message[:LONGEST_MESSAGE])
            except OSError as error:
                raise RecordsFailed(f"the update's record cannot be written: {error.strerror}") from error
            with self._lock:
                self._newest[_key(app_name)] = record
                self._newest.move_to_end(_key(app_name))
                if len(self._newest) > MOST_RECORDS:
                    self._newest.popitem(last=False)
                self._unfinished[record.attempt_id] = record
        self._tell(record)
        return record

    def move(
        self,
        attempt_id: str,
        stage: Stage,
        message: str = "",
        error_code: Optional[ErrorCode] = None,
        services: Optional[Services] = None,
    ) -> Record:
        """Take an attempt to a stage, or say more about the one it is in; its record then.

        A disk that takes nothing is logged: the update goes on, and the record in memory is right. Raises
        NoSuchAttempt, IllegalMove (an attempt that has ended stays so).
        """
        with self._writing:
            self._ensure_read()
            before = self._running(attempt_id)
            check_move(before.stage, stage)
            record = self._moved(before, stage, message[:LONGEST_MESSAGE], error_code, services)
            if record.events is not before.events or services is not None:
                self._append(record, with_services=services is not None)
            with self._lock:
                newest = self._newest.get(_key(record.app))
                if newest is not None and newest.attempt_id == attempt_id:
                    self._newest[_key(record.app)] = record
                if record.ended:
                    del self._unfinished[attempt_id]
                else:
                    self._unfinished[attempt_id] = record
        self._tell(record)
        return record

    def newest(self, app_name: str) -> Optional[Record]:
        """The record of the app's last attempt, from memory."""
        self._load()
        with self._lock:
            return self._newest.get(_key(app_name))

    def history(self, app_name: str, limit: int) -> list[Record]:
        """The app's records, newest first, `limit` at most. Raises RecordsFailed."""
        self._load()
        key = _key(app_name)
        found = self._from_file(lambda line: _key(line.app) == key)
        for record in self._in_memory():
            if _key(record.app) == key:
                found[record.attempt_id] = record
        return list(found.values())[::-1][:limit]

    def get(self, attempt_id: str) -> Record:
        """One record with its events. Raises NoSuchAttempt, RecordsFailed."""
        self._load()
        return self._find(attempt_id)

    @property
    def unreadable(self) -> bool:
        """Whether the file could not be read at the start: attempts without an end are not known then."""
        self._load()
        with self._lock:
            return self._unreadable

    @property
    def owed(self) -> bool:
        """Whether the disk has not taken all that was told: another start would not know of it."""
        with self._writing:
            return self._file.owes

    def unfinished(self) -> list[Record]:
        """The attempts without an end, in the order of their beginning: they run, or the agent's end cut them off."""
        self._load()
        with self._lock:
            return list(self._unfinished.values())

    def _first(self, app_name: str, triggered_by: str, services: Services, message: str) -> Record:
        """A new attempt's record, written. `_writing` is held. Raises OSError."""
        attempts = self._file.attempts()
        if full(attempts, _key(app_name)):
            self._file.shrink(attempts)
        at = int(self._now() * 1e6)
        while _attempt_id(at, app_name) in attempts:
            at += 1
        record = Record(
            attempt_id=_attempt_id(at, app_name),
            app=app_name,
            stage=Stage.PULLING,
            triggered_by=triggered_by,
            services=services,
            started_at=at,
            updated_at=at,
            message=message,
            events=(StageEvent(at, Stage.PULLING, message),),
        )
        self._file.append(line_of(record, with_services=True))
        return record

    def _running(self, attempt_id: str) -> Record:
        """The record of an attempt without an end."""
        with self._lock:
            record = self._unfinished.get(attempt_id)
        if record is None:
            raise IllegalMove(f"the attempt {attempt_id} has ended already: {self._find(attempt_id).stage.value}")
        return record

    def _moved(
        self, before: Record, stage: Stage, message: str, error_code: Optional[ErrorCode], services: Optional[Services]
    ) -> Record:
        at = max(int(self._now() * 1e6), before.updated_at)  # a clock that was set back must not order events anew
        enough = len(before.events) >= MOST_EVENTS and stage is before.stage
        return replace(
            before,
            stage=stage,
            message=message,
            error_code=error_code,
            services=before.services if services is None else services,
            updated_at=at,
            completed_at=at if stage in ENDS else None,
            events=before.events if enough else (*before.events, StageEvent(at, stage, message)),
        )

    def _append(self, record: Record, *, with_services: bool) -> None:
        """Write a line; one that cannot be written now is written before the next one. `_writing` is held."""
        line = line_of(record, with_services=with_services)
        try:
            self._file.append(line)
        except OSError as error:
            self._file.owe(line)
            log.error("update %s: %s cannot be written: %s", record.attempt_id, record.stage.value, error.strerror)

    def _find(self, attempt_id: str) -> Record:
        for record in self._in_memory():
            if record.attempt_id == attempt_id:
                return record
        record_on_disk = self._from_file(lambda line: line.attempt_id == attempt_id).get(attempt_id)
        if record_on_disk is None:
            raise NoSuchAttempt("attempt not found")
        return record_on_disk

    def _from_file(self, wanted: Callable[[Line], bool]) -> dict[str, Record]:
        try:
            return self._file.records(wanted)
        except OSError as error:
            raise RecordsFailed(f"the records of updates cannot be read: {error.strerror}") from error

    def _in_memory(self) -> list[Record]:
        with self._lock:
            return [*self._newest.values(), *self._unfinished.values()]

    def _load(self) -> None:
        with self._lock:
            if self._read:
                return
        with self._writing:
            self._ensure_read()

    def _ensure_read(self) -> None:
        """Learn from the file what is kept in memory. `_writing` is held."""
        if self._read:
            return
        newest: dict[str, str] = {}
        unreadable = False
        try:
            attempts = self._file.attempts()
            for attempt in attempts.values():
                newest.pop(attempt.project, None)
                newest[attempt.project] = attempt.attempt_id
            ids = {*newest.values(), *(each.attempt_id for each in attempts.values() if not each.ended)}
            found = self._file.records(lambda line: line.attempt_id in ids)
        except OSError as error:
            log.error("the records of updates cannot be read: %s", error)
            found, unreadable = {}, True
        with self._lock:
            self._unreadable = unreadable
            self._newest.update((project, found[each]) for project, each in newest.items() if each in found)
            self._unfinished.update((each, record) for each, record in found.items() if not record.ended)
            self._read = True


def _attempt_id(at: int, app_name: str) -> str:
    """`<start µs>-<app>`: it goes into a URL's path as it is."""
    return f"{at}-{_NOT_IN_AN_ID.sub('-', app_name)[:LONGEST_ID_NAME]}"


def _key(app_name: str) -> str:
    """The app's name in one form, whoever writes it."""
    return normalise_project_name(app_name) or app_name
