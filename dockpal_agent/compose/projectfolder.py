"""One project's folder, in which the agent's files lie beside data of the project's containers.

Containers that mount a part of it can put symbolic links there at any moment. So nothing is reached by its whole path:
every folder on the way is opened as what it is, never through a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

from dockpal_agent.storage import make_private_directory, write_atomic

__all__ = ["ProjectFolder"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ProjectFolder:
    """Reads, writes and removes files by their path below the folder. Every method may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def make(self) -> None:
        """The folder is there, and nobody else on the host looks into it."""
        make_private_directory(self.path)
        descriptor = os.open(self.path, _FOLDER)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o700:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)

    def read(self, name: str, limit: int) -> Optional[bytes]:
        """A file's content; None where there is none, or something else, or more than `limit` bytes."""
        try:
            with self._above(name) as (folder, last):
                descriptor = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG):
                return None
            raise
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            content = file.read(limit + 1)
        return None if len(content) > limit else content

    def write(self, name: str, text: str, mode: int) -> None:
        """Put a file there, whole or not at all; folders that are missing are made, readable for containers."""
        with self._above(name, make=0o700 if name.startswith(".dockpal/") else 0o755) as (folder, last):
            write_atomic(Path(f"/proc/self/fd/{folder}") / last, text.encode("utf-8", "surrogateescape"), mode=mode)

    def remove(self, name: str) -> None:
        """Remove a file that may be gone, and the folders above it that are empty then; never the project's own."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._above(name) as (folder, last):
            os.unlink(last, dir_fd=folder)
        parts = name.split("/")[:-1]
        while parts:
            try:
                with self._above("/".join(parts)) as (folder, last):
                    os.rmdir(last, dir_fd=folder)
            except OSError:  # not empty: what is in it is not ours
                return
            parts.pop()

    def left(self, most: int = 20) -> list[str]:
        """The names of what is in the folder."""
        try:
            return sorted(os.listdir(self.path))[:most]
        except FileNotFoundError:
            return []

    def remove_if_empty(self) -> bool:
        """Remove the folder itself; whether it is gone."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _above(self, name: str, make: Optional[int] = None) -> Iterator[tuple[int, str]]:
        """The folder of a path, open, and the path's last part. `make` is the mode of folders that are missing."""
        *parts, last = name.split("/")
        folder = os.open(self.path, _FOLDER)
        try:
            for part in parts:
                folder = _step(folder, part, make)
            yield folder, last
        finally:
            os.close(folder)


def _step(folder: int, part: str, make: Optional[int]) -> int:
    """The folder `part` in `folder`, which is closed then; it stays open where this raises."""
    if make is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, make, dir_fd=folder)
            os.chmod(part, make, dir_fd=folder)  # whatever the umask is
    below = os.open(part, _FOLDER, dir_fd=folder)
    os.close(folder)
    return below
