"""What the commands of the shell that speak with Docker have in common: the engine, the lock, the lines they print."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional, TextIO

from dockpal_agent.compose.command import project_of
from dockpal_agent.compose.hostpaths import HostPaths, host_paths
from dockpal_agent.compose.locks import ProjectLocks
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.options import DONE, ERROR, RUNNING, Progress
from dockpal_agent.config import read
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.engine import Engine

__all__ = ["Printer", "Shell", "project_name", "shell"]

RUN: Final = Path("/run/dockpal-agent")
LOCK_WAIT: Final = 60.0  # seconds; somebody sits in front of it
_SIGNS: Final = {RUNNING: "…", DONE: "✔", ERROR: "✘"}


class Printer:
    """Progress as lines: on a terminal what is under way is replaced by what came of it, elsewhere every line stays."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream
        self._terminal: Final = stream.isatty()
        self._lock = threading.Lock()  # guards the stream and all below
        self._open = False  # a line without its end stands on the terminal
        self._last: dict[str, str] = {}  # of each pull: its last line, without figures

    def report(self, progress: Progress) -> None:
        """Print one thing that happens. Called by several threads."""
        line = progress.message.replace("\n", " ")
        with self._lock, contextlib.suppress(OSError, ValueError):  # whoever read it went away: the work goes on
            if self._terminal:
                self._on_terminal(line, progress.status)
            elif not self._is_mere_progress(progress):
                print(f"{progress.step}: {line}", file=self._stream, flush=True)

    def end(self) -> None:
        """No line is left open."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._open:
                print("\r\x1b[K", end="", file=self._stream, flush=True)
            self._open = False

    def _on_terminal(self, line: str, status: str) -> None:
        width = max(os.get_terminal_size(self._stream.fileno()).columns - 4, 20)
        if self._open:
            print("\r\x1b[K", end="", file=self._stream)
        self._open = status == RUNNING
        shown = line[:width] if self._open else line
        print(f" {_SIGNS[status]} {shown}", end="" if self._open else "\n", file=self._stream, flush=True)

    def _is_mere_progress(self, progress: Progress) -> bool:
        """Whether this is a second line about a pull that goes on."""
        if progress.step != "pull" or progress.status != RUNNING:
            return False
        known = progress.subject in self._last
        self._last[progress.subject] = progress.message
        return known


@dataclass(frozen=True)
class Shell:
    """One command's way to Docker. `state` is where its journal and its locks are."""

    engine: Engine
    own: OwnContainer
    printer: Printer
    state: Path
    locks: ProjectLocks

    def paths(self) -> HostPaths:
        """The host's paths, should the shell be in a container. Raises EngineError."""
        return host_paths(self.engine, self.own)

    @contextlib.contextmanager
    def alone(self, project: str) -> Iterator[None]:
        """No other shell, and not the agent, changes the project within the block. Raises Locked, LockFailed."""
        with self.locks.held(project, threading.Event(), LOCK_WAIT):
            yield


@contextlib.contextmanager
def shell() -> Iterator[Shell]:
    """The engine by the agent's own variables (DOCKPAL_DOCKER_SOCKET, DOCKPAL_DATA_DIR)."""
    config = read(os.environ).config
    state = _state(config.data_dir, config.state_dir)
    engine = Engine(config.docker_socket)
    printer = Printer(sys.stderr)
    try:
        yield Shell(engine, OwnContainer(engine), printer, state, ProjectLocks(state / "locks"))
    finally:
        printer.end()
        engine.close()


def project_name(options: argparse.Namespace) -> str:
    """The project that a command is about: named, which needs no file, or that of the file. Raises ComposeError."""
    name: Optional[str] = options.project_name or os.environ.get("COMPOSE_PROJECT_NAME")
    return normalise_project_name(name) if name else project_of(options).name


def _state(data_dir: Path, state_dir: Path) -> Path:
    """The agent's own folder, where there is an agent on this host; else one of this user's, and the lock is weaker."""
    if data_dir.is_dir() and ProjectLocks(state_dir / "locks").writable:
        return state_dir
    if data_dir.is_dir():
        print(
            f"warning: {state_dir} is not writable: the agent is not kept from the project meanwhile", file=sys.stderr
        )
    if os.access(RUN.parent, os.W_OK) and ProjectLocks(RUN / "locks").writable:
        return RUN
    return _private(Path(tempfile.gettempdir()) / f"dockpal-agent-{os.getuid()}")


def _private(folder: Path) -> Path:
    """A folder among those of other users, which must be ours. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(1, "is not a folder of this user alone", str(folder))
    return folder
