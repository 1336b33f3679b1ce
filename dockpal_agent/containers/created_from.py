"""The references that containers were created from, where Docker's list does not tell.

Docker's list shows an image id in the place of a reference that means another image by now, as after a pull. An inspect
has the reference (Config.Image), and it never changes: so each such container is asked about once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dockpal_agent.containers.ahead import side_by_side
from dockpal_agent.engine import Engine, EngineTimeout, segment
from dockpal_agent.engine.shapes import object_of

__all__ = ["CreatedFrom"]

log = logging.getLogger(__name__)

WORKERS: Final = 4  # inspects at a time
INSPECT_WITHIN: Final = 3.0  # seconds; Docker may hold one container's lock for long while its list answers
SILENT_FOR: Final = 30.0  # seconds that a container is not asked about again after that
MOST: Final = 1024  # references kept; then those of containers that the list at hand does not have are dropped

Listed = Mapping[str, Any]  # an entry of GET /containers/json


class CreatedFrom:
    """Puts references in the place of ids. One for all who list."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine
        self._lock = threading.Lock()  # guards what follows
        self._references: dict[str, str] = {}  # full id: Config.Image
        self._silent: dict[str, float] = {}  # full id: until when not to ask again

    def named(self, entries: Iterable[Listed]) -> list[Listed]:
        """The entries, `Image` being what each container was created from. Raises EngineError.

        An id stays where Docker does not answer about a container in time, and where an id is what it was created from.
        """
        listed = list(entries)
        by_id = [str(entry.get("Id") or "") for entry in listed if _shows_an_id(entry)]
        if not by_id:
            return listed
        references = self._of(by_id)
        self._keep_only(entry.get("Id") for entry in listed)
        return [
            {**entry, "Image": references[str(entry["Id"])]} if entry.get("Id") in references else entry
            for entry in listed
        ]

    def _of(self, ids: list[str]) -> dict[str, str]:
        """{id: reference} of those that are known or answer now."""
        now = time.monotonic()
        with self._lock:
            self._silent = {key: until for key, until in self._silent.items() if until > now}
            known = {key: self._references[key] for key in ids if key in self._references}
            unknown = [key for key in ids if key not in known and key not in self._silent]
        side_by_side(unknown, WORKERS, self._ask)
        with self._lock:
            return {key: self._references[key] for key in ids if key in self._references}

    def _ask(self, container_id: str) -> None:
        """Raises NotFound, EngineError."""
        try:
            answer = self._engine.get(f"/containers/{segment(container_id)}/json", within=INSPECT_WITHIN)
        except EngineTimeout:
            log.warning("container %s: Docker does not say in time what it was created from", container_id[:12])
            with self._lock:
                self._silent[container_id] = time.monotonic() + SILENT_FOR
            return
        found = object_of(answer.json())
        reference = str((found.get("Config") or {}).get("Image") or "")
        if reference:
            with self._lock:
                self._references[container_id] = reference

    def _keep_only(self, ids: Iterable[Any]) -> None:
        """Past the cap, forget what is not listed any more."""
        with self._lock:
            if len(self._references) > MOST:
                there = set(ids)
                self._references = {key: text for key, text in self._references.items() if key in there}


def _shows_an_id(entry: Listed) -> bool:
    return str(entry.get("Image") or "").startswith("sha256:")
