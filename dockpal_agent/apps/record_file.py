"""state/updates.jsonl: lines are appended and made durable one by one; now and then the oldest attempts are left out.

A torn last line (the agent or the host ended in the middle of it) and lines that were damaged are passed over. The file
is written anew, atomically, when it has its fill; a reader that has it open goes on with the old one.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, Final, Optional

from dockpal_agent.apps.record import Line, Record, folded, read_line
from dockpal_agent.storage import make_private_directory, sync_directory, write_atomic

__all__ = ["MOST_OF_AN_APP", "MOST_RECORDS", "Attempt", "RecordFile", "full"]

log = logging.getLogger(__name__)

MOST_RECORDS: Final = 1000
MOST_OF_AN_APP: Final = 100
MOST_BYTES: Final = 4 << 20  # of the file; an attempt of an ordinary app has 2 KiB
KEPT_SHARE: Final = 0.9  # of each bound stays when the file is written anew, so that this is rare
LONGEST_LINE: Final = 4 << 20  # bytes; what is longer is none of ours
MOST_OWED: Final = 256  # lines that wait for a disk that takes them


@dataclass
class Attempt:
    """What is known of an attempt without folding its lines. `project` is the app's key."""

    attempt_id: str
    project: str
    ended: bool
    size: int = 0


class RecordFile:
    """The file. One thread appends at a time (its owner's lock); any number read meanwhile."""

    def __init__(self, path: Path, project_of: Callable[[str], str]) -> None:
        self._path: Final = path
        self._project_of: Final = project_of
        self._owed: deque[bytes] = deque(maxlen=MOST_OWED)

    def attempts(self) -> dict[str, Attempt]:
        """All attempts by id, in the order of their beginning. Raises OSError."""
        found: dict[str, Attempt] = {}
        bad = 0
        for raw, line in self._lines():
            if line is None:
                bad += 1
                continue
            attempt = found.get(line.attempt_id)
            if attempt is None:
                attempt = found[line.attempt_id] = Attempt(line.attempt_id, self._project_of(line.app), False)
            attempt.ended = line.ended
            attempt.size += len(raw)
        if bad:
            log.warning("%s: %d lines could not be read and are passed over", self._path, bad)
        return found

    def records(self, wanted: Callable[[Line], bool]) -> dict[str, Record]:
        """The records of the lines that are `wanted`, in the order of their beginning. Raises OSError."""
        found: dict[str, Record] = {}
        for _, line in self._lines():
            if line is not None and wanted(line):
                found[line.attempt_id] = folded(found.get(line.attempt_id), line)
        return found

    def append(self, line: bytes) -> None:
        """Add a line durably, after those that are owed. Raises OSError; then the file is as long as before."""
        descriptor = self._opened()
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            try:
                _write(descriptor, (b"\n" if torn else b"") + b"".join(self._owed) + line)
                os.fsync(descriptor)
            except OSError:
                self._shorten(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        self._owed.clear()

    def owe(self, line: bytes) -> None:
        """Write this line before the next one: now the disk does not take it."""
        self._owed.append(line)

    @property
    def owes(self) -> bool:
        """Whether lines wait that the disk did not take."""
        return bool(self._owed)

    def shrink(self, attempts: dict[str, Attempt]) -> None:
        """Leave the oldest of these attempts out, with every line that cannot be read. Raises OSError."""
        left = _kept(attempts)
        parts = [raw for raw, line in self._lines() if line is not None and line.attempt_id in left]
        write_atomic(self._path, b"".join(parts))

    def _shorten(self, descriptor: int, size: int) -> None:
        """Take back what was written of a line. Should that fail, too, the line is passed over as a torn one."""
        try:
            os.ftruncate(descriptor, size)
        except OSError as error:
            log.warning("%s: a torn line stays in it: %s", self._path, error.strerror)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            return os.open(self._path, flags)
        except FileNotFoundError:
            make_private_directory(self._path.parent)
            descriptor = os.open(self._path, flags | os.O_CREAT, 0o600)
            sync_directory(self._path.parent)
            return descriptor

    def _lines(self) -> Iterator[tuple[bytes, Optional[Line]]]:
        """Each line as it stands and as it reads, None where it does not; a last one without a newline too."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115  closed below
        except FileNotFoundError:
            return
        with file:
            for raw in _raw_lines(file):
                try:
                    yield raw, read_line(raw)
                except ValueError:
                    yield raw, None


def full(attempts: dict[str, Attempt], project: str) -> bool:
    """Whether one more attempt of `project` would be too many."""
    of_project = sum(attempt.project == project for attempt in attempts.values())
    size = sum(attempt.size for attempt in attempts.values())
    return len(attempts) >= MOST_RECORDS or of_project >= MOST_OF_AN_APP or size >= MOST_BYTES


def _kept(attempts: dict[str, Attempt]) -> dict[str, Attempt]:
    """Those that stay, newest first counted: what has no end always does."""
    left: dict[str, Attempt] = {}
    counts: dict[str, int] = {}
    size = 0
    for attempt in reversed(list(attempts.values())):
        fits = (
            len(left) < MOST_RECORDS * KEPT_SHARE
            and counts.get(attempt.project, 0) < MOST_OF_AN_APP * KEPT_SHARE
            and size + attempt.size <= MOST_BYTES * KEPT_SHARE
        )
        if fits or not attempt.ended:
            left[attempt.attempt_id] = attempt
            counts[attempt.project] = counts.get(attempt.project, 0) + 1
            size += attempt.size
    return dict(reversed(list(left.items())))


def _raw_lines(file: IO[bytes]) -> Iterator[bytes]:
    while True:
        raw = file.readline(LONGEST_LINE)
        if not raw:
            return
        yield raw


def _write(descriptor: int, data: bytes) -> None:
    """All of `data`: a disk that is nearly full takes a part and says so only by the count."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
