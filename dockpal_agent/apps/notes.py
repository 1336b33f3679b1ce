"""What an update attempt needs to know of before, on disk: its way back when the agent is killed in the middle.

The record (records.py) says how far an attempt is, for people; its note has the image ids, for the next start. It is
written before the first pull, again when the new images are known, and removed after the attempt's end was recorded.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Optional

from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import parse
from dockpal_agent.storage import make_private_directory, read_json, write_json

__all__ = ["Note", "Notes", "NotesFailed"]

log = logging.getLogger(__name__)

VERSION: Final = 1
IDS: Final = ("tags", "new", "pulled")  # image ids by reference or service


class NotesFailed(Exception):
    """A note could not be written (disk full, read-only): the update must not go on."""


@dataclass(frozen=True)
class Note:
    """`tags` are what each reference meant before, `old` the images that each service ran (replicas perhaps several).

    `pulled` is what each reference meant once this attempt had pulled it. `new` has only the services that are to
    change, and is empty until all is pulled. `ended` says that the attempt is at its end, but for tags that could
    not be given back yet.
    """

    attempt_id: str
    project: str
    tags: Mapping[str, str] = field(default_factory=dict)
    old: Mapping[str, Sequence[str]] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)
    pulled: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False


class Notes:
    """The folder state/updates, one file for each attempt under way; any thread may ask.

    Apps may share a tag. Each of several attempts that move it gives it back to what it meant before the first of them,
    or to what one of them has proven since: not to what another one has pulled.
    """

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory
        self._lock = threading.Lock()  # guards _kept
        self._kept: dict[str, Note] = {}  # by attempt id

    def write(self, note: Note) -> None:
        """Keep it, whole; its tags are those of its first writing, or what was proven since.

        Raises NotesFailed: the note is as it was before.
        """
        try:
            self._write(self.latest(note))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise NotesFailed(f"the way back cannot be written to {self._directory}: {reason}") from error
        with self._lock:
            before = self._kept.get(note.attempt_id, note)
            self._kept[note.attempt_id] = replace(note, tags=before.tags)

    def meant(self, references: Sequence[str]) -> dict[str, str]:
        """What those of the references meant that attempts under way have moved, or are about to move."""
        with self._lock:
            moved = {_key(name): image for note in self._kept.values() for name, image in note.tags.items()}
        return {name: moved[_key(name)] for name in references if _key(name) in moved}

    def latest(self, note: Note) -> Note:
        """The note as it is now, after what others have proven."""
        with self._lock:
            kept = self._kept.get(note.attempt_id, note)
        return replace(note, tags=kept.tags)

    def proven(self, note: Note, images: Mapping[str, str]) -> None:
        """What these references mean (image ids) has proven itself in this attempt: others go back to that."""
        ids = {_key(name): image for name, image in images.items()}
        with self._lock:
            others = [
                replace(other, tags={name: ids.get(_key(name), image) for name, image in other.tags.items()})
                for other in self._kept.values()
                if other.attempt_id != note.attempt_id and not ids.keys().isdisjoint(map(_key, other.tags))
            ]
            self._kept.update({other.attempt_id: other for other in others})
        for other in others:
            try:
                self._write(other)
            except OSError as error:
                log.error("the note of the update %s cannot be written: %s", other.attempt_id, error.strerror)

    def read(self, attempt_id: str) -> Optional[Note]:
        """The note, None where nothing had been begun. One that cannot be read is reported, and counts as none."""
        try:
            value = read_json(self._path(attempt_id))
            if value is None:
                return None
            value.setdefault("pulled", {})  # an agent of before did not write it
            ids = {key: {str(name): str(image) for name, image in value[key].items()} for key in IDS}
            old = {str(service): list(map(str, images)) for service, images in value["old"].items()}
            note = Note(
                attempt_id,
                str(value["project"]),
                ids["tags"],
                old,
                ids["new"],
                ids["pulled"],
                value.get("ended") is True,
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("the note of the update %s cannot be read: %r", attempt_id, error)
            return None
        with self._lock:
            self._kept[attempt_id] = note
        return note

    def leave(self, note: Note) -> None:
        """Keep the note of an attempt that has ended with tags which could not be given back."""
        note = replace(self.latest(note), ended=True)
        with self._lock:
            self._kept[note.attempt_id] = note
        try:
            self._write(note)
        except OSError as error:  # then it is for this start of the agent only
            log.error("the note of the update %s cannot be written: %s", note.attempt_id, error.strerror)

    def left(self) -> list[Note]:
        """What leave() kept, from the folder."""
        found = [self.read(path.stem) for path in self._paths()]
        return [note for note in found if note is not None and note.ended]

    def left_of(self, attempt_id: str) -> Optional[Note]:
        """What leave() kept of one attempt in this start of the agent."""
        with self._lock:
            note = self._kept.get(attempt_id)
        return note if note is not None and note.ended else None

    def remove(self, attempt_id: str) -> None:
        """The attempt has ended."""
        with self._lock:
            self._kept.pop(attempt_id, None)
        try:
            self._path(attempt_id).unlink(missing_ok=True)
        except OSError as error:  # it says nothing any more: its record has an end
            log.warning("the note of the update %s cannot be removed: %s", attempt_id, error)

    def put_away(self, attempt_id: str) -> None:
        """The attempt has ended, but for a record of that on the disk: the file stays for the next start."""
        with self._lock:
            self._kept.pop(attempt_id, None)

    def keep_only(self, attempt_ids: set[str]) -> None:
        """Remove the notes of all other attempts: the agent ended between their end and the removal."""
        for path in self._paths():
            if path.stem not in attempt_ids:
                self.remove(path.stem)

    def _write(self, note: Note) -> None:
        make_private_directory(self._directory)
        write_json(self._path(note.attempt_id), {"version": VERSION, **asdict(note)})

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob("*.json")) if self._directory.is_dir() else []

    def _path(self, attempt_id: str) -> Path:
        return self._directory / f"{attempt_id}.json"


def _key(reference: str) -> str:
    """A reference in one form: `nginx` and `nginx:latest` are one tag."""
    try:
        return parse(reference).familiar
    except InvalidReference:
        return reference
