"""The host's clock on the wall, by which the windows of automatic updates go.

An agent in a container has a time zone of its own, which is UTC where nobody gave it another. The daemon runs on the
host, and tells its time with the offset of the host's zone.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from typing import Any, Callable, Final, Optional

from dockpal_agent.engine import Engine, EngineError, system

__all__ = ["WallClock"]

log = logging.getLogger(__name__)

KEPT: Final = 60.0  # seconds for which the daemon is not asked again; zones change on the quarter hour
WITHIN: Final = 10.0  # seconds for the daemon's answer
_OFFSET: Final = re.compile(r"T[0-9:.]+(?:Z|([+-])([0-9]{2}):([0-9]{2}))", re.ASCII)  # RFC 3339, from the T on


class WallClock:
    """Tells times as the host does. Where TZ is set for the agent, that zone counts: somebody meant it."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine: Final = engine
        self._clock: Final = clock
        self._lock = threading.Lock()  # guards the two that follow
        self._offset: Optional[int] = None  # seconds east of UTC, None until the daemon has told it
        self._asked_at: Optional[float] = None

    def local(self, moment: float) -> time.struct_time:
        """`moment` (unix seconds, about now) on the host's clock.

        While the daemon says nothing, what it said last counts, and before that the agent's own zone.
        """
        offset = None if os.environ.get("TZ") else self._current()
        return time.localtime(moment) if offset is None else time.gmtime(moment + offset)

    def _current(self) -> Optional[int]:
        with self._lock:
            now = self._clock()
            if self._asked_at is not None and now - self._asked_at < KEPT:
                return self._offset
        try:
            offset = _offset(system.info(self._engine, within=WITHIN).get("SystemTime"))
        except EngineError as error:
            log.debug("the host's time zone is not known anew: %s", error)
            offset = None
        with self._lock:
            self._asked_at = now
            if offset is not None:
                self._offset = offset
            return self._offset


def _offset(system_time: Any) -> Optional[int]:
    """Seconds east of UTC in what the daemon calls SystemTime (`2026-07-01T14:03:25.5+02:00`), None where none is."""
    match = _OFFSET.search(system_time) if isinstance(system_time, str) else None
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    if sign is None:
        return 0
    seconds = int(hours) * 3600 + int(minutes) * 60
    return -seconds if sign == "-" else seconds
