"""A small JSON object that is kept in state/: whole at each write, and set aside where it cannot be read."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Final

from dockpal_agent.storage import make_private_directory, read_json, write_json

__all__ = ["StateFile"]

log = logging.getLogger(__name__)

LARGEST: Final = 32 << 20  # bytes; ours stay far below


class StateFile:
    """One object with a `version`. Its owner guards it against two writers."""

    def __init__(self, path: Path, version: int) -> None:
        self._path: Final = path
        self._version: Final = version

    def read(self) -> dict[str, Any]:
        """What is kept, {} where there is nothing. A file that is damaged, or of another version, is set aside."""
        try:
            if self._path.exists() and self._path.stat().st_size > LARGEST:
                raise ValueError("it is too large")
            value = read_json(self._path)
            if value is None:
                return {}
            if not isinstance(value, dict) or value.get("version") != self._version:
                raise ValueError(f"it is not of version {self._version}")
            return value
        except (ValueError, RecursionError) as error:
            self._set_aside(str(error))
        except OSError as error:
            log.error("%s cannot be read: %s; its content counts as lost", self._path, error.strerror)
        return {}

    def write(self, value: dict[str, Any]) -> None:
        """Keep `value` in the place of what is kept. Raises OSError; then all is as it was."""
        make_private_directory(self._path.parent)
        write_json(self._path, {**value, "version": self._version})

    def _set_aside(self, reason: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        try:
            os.replace(self._path, aside)
        except OSError as error:
            log.error("%s cannot be used: %s; nor be set aside: %s", self._path, reason, error.strerror)
            return
        log.error("%s cannot be used: %s; it is %s now, and a new one begins", self._path, reason, aside.name)
