"""One change of a project at a time, also between processes: the agent and `agent.pyz compose up` in a shell.

A lock is a file in state/locks that is held with flock(2): it ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dockpal_agent.containers.journal import JournalFailed
from dockpal_agent.storage import make_private_directory

__all__ = ["LockFailed", "Locked", "ProjectLocks"]

WAIT: Final = 900.0  # seconds for the other one to end
LOOK_EVERY: Final = 0.1  # seconds; flock has no time limit of its own


class Locked(Exception):
    """Another process changes the project, and has not ended in time."""


class LockFailed(JournalFailed):
    """The disk does not take a lock's file: it is full, or can only be read."""


class ProjectLocks:
    """The locks in one folder. `writable` says whether it can be used by this process at all."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory

    @property
    def writable(self) -> bool:
        """Whether locks can be made here; else nothing keeps two processes apart."""
        try:
            make_private_directory(self._directory)
        except OSError:
            return False
        return os.access(self._directory, os.W_OK)

    @contextlib.contextmanager
    def held(self, project: str, stop: threading.Event, within: float = WAIT) -> Iterator[None]:
        """Hold a project's lock within the block. Raises Locked, when `stop` is set too; LockFailed."""
        file = self._directory / f"{project}.lock"
        try:
            make_private_directory(self._directory)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LockFailed(f"project {project} cannot be locked: {file}: {error.strerror or error}") from error
        try:
            until = time.monotonic() + within
            while not _taken(descriptor):
                if time.monotonic() > until or stop.wait(LOOK_EVERY):
                    raise Locked(f"project {project} is being changed by another process (`compose up` in a shell?)")
            yield
        finally:
            os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
