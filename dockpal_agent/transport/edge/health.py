"""What other processes know of the line: state/edge.json, written by the agent, read by `healthcheck`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dockpal_agent.storage import make_private_directory, read_json, write_json
from dockpal_agent.transport.edge.state import State

__all__ = ["FILE", "Health", "LineRecord", "edge_health"]

log = logging.getLogger(__name__)

FILE: Final = "edge.json"
_UP: Final = (State.TOKEN_SENT.value, State.SERVING.value)
_SLACK: Final = 60.0  # seconds beyond three heartbeats until the record of a line that is up is too old


class LineRecord:
    """Writes the record: at each move of the line, and its time of change at each heartbeat. For the line's threads."""

    def __init__(self, state_dir: Path, server: str) -> None:
        self._path: Final = state_dir / FILE
        self._server: Final = server
        self._failed = False

    def write(self, state: State, since: float, error: str) -> None:
        """Record `state`, since when (unix seconds), and why there is no line ("" for none). Never raises."""
        value = {"state": state.value, "since": since, "error": error, "server": self._server}
        try:
            make_private_directory(self._path.parent)
            write_json(self._path, value)
            self._failed = False
        except OSError as failure:
            self._complain(failure)

    def touch(self) -> None:
        """Say that the line still lives: a record that nobody touches is a hung agent's."""
        try:
            os.utime(self._path)
        except OSError as failure:
            self._complain(failure)

    def _complain(self, failure: OSError) -> None:
        if not self._failed:
            log.warning("edge line: %s cannot be written (%s): healthcheck will not know the line", self._path, failure)
        self._failed = True


@dataclass(frozen=True)
class Health:
    """Whether the line is up, and one line that says since when, or why not."""

    ok: bool
    text: str


def edge_health(state_dir: Path, heartbeat: float) -> Health:
    """What the record says now; `heartbeat` is seconds between two signs of life.

    Never raises: a record that is missing or damaged is that of a line that is not connected.
    """
    path = state_dir / FILE
    try:
        value = read_json(path)
        touched = path.stat().st_mtime if value is not None else 0.0
    except (OSError, ValueError) as error:
        return Health(False, f"{path} cannot be read: {error}")
    if not isinstance(value, Mapping):
        return Health(False, f"the line has not been tried yet: there is no {path}")
    return _judge(value, heartbeat, time.time() - touched)


def _judge(value: Mapping[str, Any], heartbeat: float, age: float) -> Health:
    state, server, error = (str(value.get(name) or "") for name in ("state", "server", "error"))
    if state not in _UP:
        return Health(False, f"not connected to {server} ({state}): {error or 'no attempt has ended yet'}")
    if age > 3 * heartbeat + _SLACK:
        return Health(False, f"the line to {server} gave no sign of life for {age:.0f} s: the agent hangs or has ended")
    since = value.get("since")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since if isinstance(since, (int, float)) else 0))
    waiting = "" if state == State.SERVING.value else ", and waiting for the Server's first request"
    return Health(True, f"connected to {server} since {stamp}{waiting}")
