"""What replacements are under way, on disk: written before each step, so that a kill on either side can be settled.

One file for a group of containers that are replaced together; its `committed` is the one commit point. The page
docs/decisions/0004-order-of-writes-of-a-replacement.md says what each gap between two writes leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.containers.aside import Was
from dockpal_agent.containers.made import Made
from dockpal_agent.storage import make_private_directory, read_json, sync_directory, write_json

__all__ = ["Entry", "Journal", "JournalFailed", "Record", "Settling", "Step", "Taken"]

log = logging.getLogger(__name__)

VERSION: Final = 1
BEGIN_WITHIN: Final = 60.0  # seconds that a group waits for a settling to end


class JournalFailed(Exception):
    """The journal could not be written (disk full, read-only): the replacement does not begin, or is undone."""


class Settling(JournalFailed):
    """What was interrupted earlier is still being settled: nothing new begins meanwhile."""


class Taken(JournalFailed):
    """The container is a part of another group that is being worked on."""


class Step(Enum):
    """What is done to one container, in this order; what does not apply to it is left out."""

    CREATE_NEW = "create-new"  # under its temporary name, with all networks
    QUIET_OLD = "quiet-old"  # no restart policy: a daemon that restarts must not run both on one volume
    STOP_OLD = "stop-old"
    RENAME_OLD = "rename-old"  # to its name aside
    RENAME_NEW = "rename-new"
    START_NEW = "start-new"
    PROVE_NEW = "prove-new"
    PAUSE_NEW = "pause-new"
    START_OLD = "start-old"  # of one that stays: it was stopped, or was stopped for the restart of what it needs


@dataclass
class Entry:
    """One container's part of a group. `old_id` is "" for a container that replaces none.

    `policy` is the old one's restart policy; `kept` the old one's whole inspect, where it will remove itself when
    stopped; `borrowed` a reference that means `image_id` for the moment of the create, and the id it has to go back to;
    `stop_answered` whether the daemon is known to have done with step stop-old; `lost` that an undo found the old one
    removed by somebody else, `stayed` that the new one was left in its place then.
    """

    name: str  # what the old one is called
    old_id: str
    was: Was
    final_name: str = ""  # what the new one is to be called
    new_id: str = ""  # known once it is created
    policy: dict[str, Any] = field(default_factory=dict)
    kept: Optional[dict[str, Any]] = None
    image_id: str = ""
    borrowed: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    stop_answered: bool = False
    stays: bool = False  # nothing takes its place: it is only started, or stopped and started again
    lost: bool = False
    stayed: bool = False

    def began(self, step: Step) -> bool:
        """Whether the step may have happened."""
        return step.value in self.steps

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Entry:
        """The entry that `asdict` made. Raises ValueError, TypeError, KeyError for what it did not make."""
        return cls(**{**value, "was": Was(value["was"])})

    def value(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {**asdict(self), "was": self.was.value}


class Record:
    """The file of one group. Its methods may be called by several threads."""

    def __init__(
        self,
        journal: Journal,
        path: Path,
        title: str,
        entries: list[Entry],
        committed: bool = False,
        made: Optional[list[Made]] = None,
    ) -> None:
        self.title: Final = title
        self.made: Final[list[Made]] = made or []
        self.entries: Final = entries
        self.committed = committed
        self._journal: Final = journal
        self._path: Final = path
        self._lock = threading.Lock()  # guards the file: what was decided first is written first

    @property
    def key(self) -> str:
        """What names the group in the journal."""
        return self._path.stem

    def add(self, entry: Entry) -> None:
        """Take one more container into the group. Raises JournalFailed; the entry is not in the group then."""
        self._journal.take(self, entry)
        with self._lock:
            try:
                self._write()
            except JournalFailed:
                self.entries.remove(entry)
                raise

    def make(self, made: Made) -> None:
        """Say that a network or a volume is about to be made. Raises JournalFailed: then it must not be."""
        with self._lock:
            self.made.append(made)
            try:
                self._write()
            except JournalFailed:
                self.made.remove(made)
                raise

    def step(self, entry: Entry, step: Step) -> None:
        """Say what is about to be done. Raises JournalFailed: then it must not be done."""
        with self._lock:
            entry.steps.append(step.value)
            try:
                self._write()
            except JournalFailed:
                entry.steps.remove(step.value)
                raise

    def note(self) -> None:
        """Write what was learned (an id). A failure is logged: the names in Docker say the same."""
        with self._lock:
            try:
                self._write()
            except JournalFailed as error:
                log.warning("%s: %s", self.title, error)

    def commit(self) -> None:
        """The commit point: from here a start finishes instead of undoing. Raises JournalFailed: not committed."""
        with self._lock:
            self.committed = True
            try:
                self._write()
            except JournalFailed:
                self.committed = False
                raise

    def close(self) -> None:
        """All is as it should be: forget the group."""
        with self._lock:
            try:
                self._path.unlink(missing_ok=True)
                sync_directory(self._path.parent)
            except OSError as error:  # settling it once more changes nothing
                log.warning("%s: the journal entry cannot be removed: %s", self.title, error)
        self._journal.leave(self)

    def leave_open(self) -> None:
        """Something is left to do: the next settling does it."""
        self._journal.leave(self)

    def _write(self) -> None:
        value = {
            "version": VERSION,
            "title": self.title,
            "committed": self.committed,
            "entries": [entry.value() for entry in self.entries],
            "made": [made.value() for made in self.made],
        }
        try:
            make_private_directory(self._path.parent)
            write_json(self._path, value)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise JournalFailed(f"the journal in {self._path.parent} cannot be written: {reason}") from error


class Journal:
    """The directory of the groups (`state/replacements` of the data directory), and who is being worked on.

    `others` has directories of other processes' journals (the shell's): what these name is not ours to settle.
    """

    def __init__(self, directory: Path, others: Optional[Path] = None) -> None:
        self.existed: Final = directory.is_dir()  # if not, what the agent did before may have been lost
        self._others: Final = others
        self._directory: Final = directory
        self._lock = threading.Lock()  # guards _active
        self._begin = threading.Lock()  # held by a settling, and for a moment by each group that begins
        self._active: dict[str, Record] = {}

    def open(self, title: str) -> Record:
        """Begin a group. Nothing is written before its first container is added. Raises Settling."""
        with self.alone():
            record = Record(self, self._directory / f"{secrets.token_hex(16)}.json", title, [])
            with self._lock:
                self._active[record.key] = record
            return record

    def take(self, record: Record, entry: Entry) -> None:
        """Put an entry into a group. Raises Taken where another group has its container: as what it replaces, or as the
        successor that it has not committed, which stands under its name while a gate watches.
        """
        with self._lock:
            for other in self._active.values():
                halves = {half for known in other.entries for half in (known.old_id, known.new_id)}
                if other is not record and entry.old_id and entry.old_id in halves:
                    raise Taken(f"{other.title} is under way; try again when it has ended")
            record.entries.append(entry)

    def waiting(self) -> bool:
        """Whether there are groups on disk that nobody works on."""
        with self._lock:
            active = set(self._active)
        return any(path.stem not in active for path in _files(self._directory))

    def leave(self, record: Record) -> None:
        """Nobody works on this group any more."""
        with self._lock:
            self._active.pop(record.key, None)

    def busy_names(self) -> set[str]:
        """The names of the containers of all groups being worked on now, and of all in others' journals."""
        with self._lock:
            records = list(self._active.values())
        folders = [] if self._others is None or not self._others.is_dir() else sorted(self._others.iterdir())
        for folder in folders:
            records += [record for path in _files(folder) if (record := self._read(path)) is not None]
        return {entry.name for record in records for entry in list(record.entries)}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let no group begin and nothing be settled within this block. Groups that have begun go on.

        Raises Settling where another settling has not ended within a minute.
        """
        if not self._begin.acquire(timeout=BEGIN_WITHIN):
            raise Settling("interrupted replacements are being settled; try again in a minute")
        try:
            yield
        finally:
            self._begin.release()

    def unfinished(self) -> list[Record]:
        """The groups on disk that nobody works on, oldest first; they are being worked on from now.

        An unreadable file is set aside and reported: what it was about can be read from Docker.
        """
        found = []
        for path in sorted(_files(self._directory), key=_time):
            record = self._read(path)
            if record is None:
                continue
            with self._lock:
                if record.key in self._active:
                    continue
                self._active[record.key] = record
            found.append(record)
        return found

    def _read(self, path: Path) -> Optional[Record]:
        try:
            value = read_json(path)
            if value is None:  # its group has just been closed
                return None
            entries = [Entry.read(entry) for entry in value["entries"]]
            made = [Made.read(one) for one in value.get("made") or ()]
            return Record(self, path, str(value["title"]), entries, bool(value["committed"]), made)
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.error("the journal entry %s cannot be read and is set aside: %r", path.name, error)
            _set_aside(path)
            return None


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix == ".json"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        log.error("the journal in %s cannot be read: %s", directory, error)
        return []


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _set_aside(path: Path) -> None:
    try:
        os.replace(path, path.with_suffix(".unreadable"))
    except OSError as error:
        log.warning("the journal entry %s cannot be set aside: %s", path.name, error)
