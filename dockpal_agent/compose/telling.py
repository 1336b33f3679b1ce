"""From what a deploy does to the events that the Server shows, by the Server's rules (protocol 4).

Only the last event may have the status `error`: the UI takes each for the end. Advice comes before it.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from dockpal_agent.compose.deployevents import COMPLETE, DeployRecord
from dockpal_agent.compose.hints import hints
from dockpal_agent.compose.options import DONE, ERROR, RUNNING, Progress

__all__ = ["Teller"]

PROGRESS_EVERY: Final = 1.0  # seconds between two events of one pull


class Teller:
    """Tells one deploy. `report` is called by several threads."""

    def __init__(self, record: DeployRecord) -> None:
        self._record: Final = record
        self._lock = threading.Lock()  # guards all below
        self._step = "parse"
        self._failed_step = ""
        self._told: dict[str, tuple[float, str]] = {}  # of each pull: when it was last told, and what
        self._said: set[str] = set()

    def say(self, step: str, message: str, status: str = RUNNING) -> None:
        """One event of the deploy itself."""
        with self._lock:
            self._step = step
        self._record.say(step, message, status)

    def hint(self, message: str) -> None:
        """Advice, once."""
        with self._lock:
            known = message in self._said
            self._said.add(message)
        if not known:
            self._record.say("hint", message, DONE)

    def report(self, progress: Progress) -> None:
        """One thing that converge() does. Never waits, never raises."""
        if progress.step == "hint":
            self.hint(progress.message)
            return
        with self._lock:
            self._step = progress.step
            if progress.status == ERROR:
                self._failed_step = self._failed_step or progress.step
            elif self._is_too_soon(progress):
                return
        status = RUNNING if progress.status == ERROR else progress.status
        self._record.say(progress.step, progress.message, status)

    def complete(self, message: str) -> None:
        """The one sign of success."""
        self._record.say(COMPLETE, message, DONE)

    def fail(self, message: str) -> None:
        """Advice about the failure, then the failure itself, as the last event."""
        for advice in hints(message):
            self.hint(advice)
        with self._lock:
            step = self._failed_step or self._step
        self._record.say(step if step not in ("cleanup", "hint") else "create", message, ERROR)

    def _is_too_soon(self, progress: Progress) -> bool:
        """Whether this is a pull's progress that must be left out. The lock is held."""
        if progress.step != "pull":
            return False
        now = time.monotonic()
        at, told = self._told.get(progress.subject, (0.0, ""))
        if progress.status == RUNNING and told and (now - at < PROGRESS_EVERY or told == progress.message):
            return True
        self._told[progress.subject] = (now, progress.message)
        return False
