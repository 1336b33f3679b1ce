"""Bodies kept aside before anything is touched: the beginning in memory, the rest in a file without a name."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Optional

from dockpal_agent.files.errors import SpoolFull

__all__ = ["Spool", "directory_for"]

IN_MEMORY: Final = 256 << 10  # bytes; most files that are written by hand never touch the disk
CHUNK: Final = 64 << 10  # bytes read at once


class Spool:
    """Bytes written once, then read as often as needed. A context manager: nothing is left when it is closed, nor when
    the agent is killed, as the file never had a name."""

    def __init__(self, directory: Optional[str] = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=directory, prefix="dockpal-spool-")  # noqa: SIM115  close() does
        self.size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def write(self, part: bytes) -> None:
        """Append. Raises SpoolFull when the disk has no room."""
        try:
            self._file.write(part)
        except OSError as error:
            raise _full(error) from error
        self.size += len(part)

    def fill(self, parts: Iterable[bytes]) -> Spool:
        """Append all parts; itself, for a chain."""
        for part in parts:
            self.write(part)
        return self

    def chunks(self) -> Iterator[bytes]:
        """All of it from the beginning."""
        try:
            self._file.seek(0)  # flushes too: a full disk may show only now
        except OSError as error:
            raise _full(error) from error
        while True:
            part = self._file.read(CHUNK)
            if not part:
                return
            yield part

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


def directory_for(data_dir: Path) -> Optional[str]:
    """Where to keep aside: the agent's own disk, as /tmp is memory on many hosts; None is Python's choice."""
    return str(data_dir) if os.access(data_dir, os.W_OK | os.X_OK) else None


def _full(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SpoolFull(f"the agent's disk has no room to keep the file aside: {error.strerror}")
    return SpoolFull(f"the agent cannot keep the file aside: {error.strerror or error}")
