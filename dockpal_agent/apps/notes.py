"""What an update attempt needs to know of before, on disk: its way back when the agent is killed in the middle.

The record (records.py) says how far an attempt is, for people; its note has the image ids, for the next start. It is
written before the first pull, again when the new images are known, and removed after the attempt's end was recorded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Optional

from dockpal_agent.storage import make_private_directory, read_json, write_json

__all__ = ["Note", "Notes", "NotesFailed"]

log = logging.getLogger(__name__)

VERSION: Final = 1


class NotesFailed(Exception):
    """A note could not be written (disk full, read-only): the update must not go on."""


@dataclass(frozen=True)
class Note:
    """`tags` are what each reference meant before, `old` the images that each service ran (replicas perhaps several).

    `new` has only the services that are to change, and is empty until all is pulled.
    """

    attempt_id: str
    project: str
    tags: Mapping[str, str] = field(default_factory=dict)
    old: Mapping[str, Sequence[str]] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)


class Notes:
    """The folder state/updates, one file for each attempt under way."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory

    def write(self, note: Note) -> None:
        """Keep it, whole. Raises NotesFailed: the note is as it was before."""
        try:
            make_private_directory(self._directory)
            write_json(self._path(note.attempt_id), {"version": VERSION, **asdict(note)})
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise NotesFailed(f"the way back cannot be written to {self._directory}: {reason}") from error

    def read(self, attempt_id: str) -> Optional[Note]:
        """The note, None where nothing had been begun. One that cannot be read is reported, and counts as none."""
        try:
            value = read_json(self._path(attempt_id))
            if value is None:
                return None
            ids = {key: {str(name): str(image) for name, image in value[key].items()} for key in ("tags", "new")}
            old = {str(service): list(map(str, images)) for service, images in value["old"].items()}
            return Note(attempt_id, str(value["project"]), ids["tags"], old, ids["new"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("the note of the update %s cannot be read: %r", attempt_id, error)
            return None

    def remove(self, attempt_id: str) -> None:
        """The attempt has ended."""
        try:
            self._path(attempt_id).unlink(missing_ok=True)
        except OSError as error:  # it says nothing any more: its record has an end
            log.warning("the note of the update %s cannot be removed: %s", attempt_id, error)

    def keep_only(self, attempt_ids: set[str]) -> None:
        """Remove the notes of all other attempts: the agent ended between their end and the removal."""
        for path in self._directory.glob("*.json") if self._directory.is_dir() else ():
            if path.stem not in attempt_ids:
                self.remove(path.stem)

    def _path(self, attempt_id: str) -> Path:
        return self._directory / f"{attempt_id}.json"
