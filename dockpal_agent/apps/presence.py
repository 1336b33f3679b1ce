"""What single calls cannot tell of the time between them: whether the Docker daemon was there all the while, and
whether somebody stopped a container.

Over systemd's socket a new daemon answers them, a GET over a connection that died with the old one is sent again, and
an exit code does not say who wanted it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Final, Optional

from dockpal_agent.engine import Cancel, Engine, EngineError, events

__all__ = ["Presence"]

log = logging.getLogger(__name__)

JOIN_WITHIN: Final = 5.0  # seconds
HEARD_WITHIN: Final = 0.5  # seconds from an end that was seen to the event of its cause, which was told before it
MOST: Final = 64  # containers that are listened to: their ids go into a URL
STOPPING: Final = frozenset({"2", "3", "9", "15"})  # signals that end; `docker stop` and `rm -f` send them, too


class Presence:
    """Listens to the daemon's events of some containers within a block. The stream ends with its daemon."""

    def __init__(self, engine: Engine, container_ids: Collection[str]) -> None:
        self._engine: Final = engine
        self._filters: Final = {"container": sorted(container_ids)[:MOST]}
        self._cancel: Final = Cancel()
        self._changed: Final = threading.Condition()  # guards the two that follow
        self._gone = False
        self._stopped: set[str] = set()
        self._thread: Final = threading.Thread(target=self._listen, name="presence of docker", daemon=True)

    @property
    def gone(self) -> bool:
        """Whether the daemon has gone away since, though another one may be there now."""
        with self._changed:
            return self._gone

    def stopped(self, container_id: str) -> bool:
        """Whether somebody told Docker to stop, kill or remove the container since its last start: it did not end by
        itself.
        """
        with self._changed:
            return self._changed.wait_for(lambda: container_id in self._stopped, HEARD_WITHIN)

    def __enter__(self) -> Presence:
        try:
            self._stream = events.subscribe(self._engine, filters=self._filters, cancel=self._cancel)
        except EngineError:  # it is away right now
            self._go()
            return self
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads
            self._stream.close()
            log.warning("whether Docker is restarted cannot be watched: %s", error)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._cancel.cancel()
        if self._thread.is_alive():
            self._thread.join(JOIN_WITHIN)

    def _listen(self) -> None:
        try:
            with self._stream as stream:
                for event in stream.json_lines():
                    self._hear(event)
        except EngineError:
            pass  # however it ended
        self._go()

    def _hear(self, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor")
        action, found = event.get("Action"), actor if isinstance(actor, dict) else {}
        if action == "kill" and str((found.get("Attributes") or {}).get("signal")) not in STOPPING:
            return
        with self._changed:
            if action in ("kill", "stop"):
                self._stopped.add(str(found.get("ID") or ""))
            elif action == "start":  # how it ends next is another matter
                self._stopped.discard(str(found.get("ID") or ""))
            self._changed.notify_all()

    def _go(self) -> None:
        with self._changed:
            self._gone = True
            self._changed.notify_all()
